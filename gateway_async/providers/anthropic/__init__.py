"""Anthropic: `provider` is where it begins."""
