"""Retention: hits that go by their age, while what was counted of them stays."""
