"""Questions about the combined database: what may be asked, and how it is answered."""
