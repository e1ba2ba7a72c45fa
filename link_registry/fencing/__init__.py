"""Fencing: which history the registry's database tells, and which process may write it."""
