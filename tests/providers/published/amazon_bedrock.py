"""The types of `amazon-bedrock`, which are those of `bedrock`."""

from tests.providers.published.bedrock import ADDS, check_answered, check_error, check_event, check_sent

__all__ = ["ADDS", "check_answered", "check_error", "check_event", "check_sent"]
