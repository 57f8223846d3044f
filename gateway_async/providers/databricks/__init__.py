"""Databricks' model serving: `provider` is where it begins."""
