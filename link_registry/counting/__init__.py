"""Click limits: what the aggregator has counted, and the end of a link that has had enough."""
