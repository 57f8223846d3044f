"""Amazon Bedrock: `provider` is where it begins."""
