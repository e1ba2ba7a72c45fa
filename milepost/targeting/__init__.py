"""Rules: where one link leads different visits.  The edge decides by it, the registry explains."""
