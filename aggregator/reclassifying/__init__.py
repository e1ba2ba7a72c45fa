"""Reclassifying: what is stored of user agents is brought up to the lists of this version."""
