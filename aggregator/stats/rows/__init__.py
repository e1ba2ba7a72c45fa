"""Counting out of the rows."""
