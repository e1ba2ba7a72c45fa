"""Reading streams: what the edge, the command and whoever holds a copy have in common."""
