"""Copies of the keys: made every day, deleted on time, started from when the keys are lost."""
