"""OP3's query API, spoken by this aggregator, so that its clients work with another base URL."""
