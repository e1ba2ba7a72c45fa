"""Pulling: asking sources for what follows the cursors, and taking it in exactly once."""
