"""How far each edge is: what they report, and what is shown of it."""
