"""OpenAI's format, which most providers speak: requests, answers and streams; the providers of `provider_table`."""
