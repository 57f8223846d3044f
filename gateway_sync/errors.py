"""Every error that a client raises: all of `gateway_async.errors`."""

from gateway_async.errors import *  # noqa: F403 - one place defines them
