"""Searching: which hits a question is about, page by page, and all of them in one piece."""
