"""Visitor hashes that come late: from sealed addresses, by way of the key server."""
