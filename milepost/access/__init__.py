"""Tokens that a service keeps in its own database, besides those of the tokens file."""
