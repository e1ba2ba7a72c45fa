"""One region: redirect visitors from memory, remember each visit, hand the log over."""
