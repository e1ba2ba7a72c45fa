"""Grants: links with an owner and an end, whose end cleans up after them."""
