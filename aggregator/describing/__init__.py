"""Describing: what user agents and referers are taken for, kept once for each distinct one."""
