"""Hits as they are stored: one row each, with every string kept once."""
