"""Links, changed within a transaction."""
