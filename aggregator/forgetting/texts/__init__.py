"""Texts that nothing has any more."""
