"""Stats: how many hits, clicks and visitors, by what and when."""
