"""The configuration of a gateway and what a client is told of it, under the documented name: all of `gateway_async.config`."""

from gateway_async.config import *  # noqa: F403 - one place defines them
