"""Abandoning: writing off by hand, and by number, what was announced and will never come."""
