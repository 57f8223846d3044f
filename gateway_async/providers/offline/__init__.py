"""A provider that needs no key and no network: `provider` is where it begins."""
