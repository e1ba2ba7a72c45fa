"""Classifying: who asked, where they came from, and what of it was a download."""
