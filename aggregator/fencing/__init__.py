"""Fencing: which copy of the combined database counts, and which process may write it."""
