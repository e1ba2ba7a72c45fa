"""Asking: which hits are meant, and how they are found."""
