"""The link registry: links, and the feed that tells every edge about them."""
