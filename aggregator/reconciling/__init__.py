"""Reconciling: what was served beside what became of it, and what is left over."""
