"""Together AI: `provider` is where it begins."""
