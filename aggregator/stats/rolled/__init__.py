"""Counting out of the rollups."""
