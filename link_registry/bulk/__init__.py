"""Many links in one call: what is asked, done in one transaction, and remembered by its key."""
