"""Click limits: counting the clicks of links that have one, and telling the registry."""
