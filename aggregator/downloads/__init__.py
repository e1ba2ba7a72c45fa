"""How many downloads there were, by a rule with a name."""
