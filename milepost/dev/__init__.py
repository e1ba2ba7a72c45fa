"""`milepost dev`: the whole platform on one machine."""
