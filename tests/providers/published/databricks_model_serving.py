"""The types of `databricks-model-serving`, the other name of `databricks`."""

from tests.providers.published.databricks import ADDS, check_answered, check_error, check_event, check_sent

__all__ = ["ADDS", "check_answered", "check_error", "check_event", "check_sent"]
