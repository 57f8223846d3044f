"""Keys that let callers in: what one is, whose it is, and how they change."""
