"""Several processes behind one port: the parent that keeps them, and what they tell each other."""
