"""The bases of every pydantic model, under the documented name: all of `gateway_async.base_models`."""

from gateway_async.base_models import *  # noqa: F403 - one place defines them
