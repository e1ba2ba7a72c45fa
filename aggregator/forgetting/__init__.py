"""Forgetting: what must not be kept any more, because somebody asked or because of its age."""
