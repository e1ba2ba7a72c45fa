"""Which link a visit means: one rule for the edges, which answer it, and the registry."""
