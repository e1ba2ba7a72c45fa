"""The aggregator: pulls every region's log into one database, and answers questions about it."""
