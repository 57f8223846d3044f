"""Vertex AI: `provider` is where it begins."""
