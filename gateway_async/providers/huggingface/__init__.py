"""Hugging Face's Text Generation Inference: `provider` is where it begins."""
