"""When each visitor clicked first and last, by each value of a dimension."""
