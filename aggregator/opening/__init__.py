"""Opening: sealed batches and the keys that it takes to read them."""
