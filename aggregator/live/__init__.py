"""Hits as they arrive, told to everybody who follows."""
