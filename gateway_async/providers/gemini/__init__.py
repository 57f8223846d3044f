"""Gemini: `provider` is where it begins."""
