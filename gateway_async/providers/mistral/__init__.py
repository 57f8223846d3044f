"""Mistral: `provider` is where it begins."""
