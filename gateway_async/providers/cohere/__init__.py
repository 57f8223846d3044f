"""Cohere: `provider` is where it begins."""
