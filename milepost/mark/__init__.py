"""The mark beside a database: whether it is the one that was here, or restored or rolled back."""
