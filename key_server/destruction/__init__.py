"""Destruction: an epoch's secrets are made unrecoverable, and a receipt says so."""
