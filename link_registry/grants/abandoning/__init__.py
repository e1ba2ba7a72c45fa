"""Grants whose clean-up is given up by hand."""
