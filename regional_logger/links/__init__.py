"""The edge's copy of the links: on disk, in memory, and kept true by the feed."""
