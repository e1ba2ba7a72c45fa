"""Calls that happen once, however often they come: those that name an Idempotency-Key."""
