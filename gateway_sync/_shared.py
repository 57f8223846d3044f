"""The client behind the module-level functions."""

import os

from gateway_async import get_gateway_uri
from gateway_sync._loop import process
from gateway_sync.client import MlflowGatewayClient


def shared_client() -> MlflowGatewayClient:
    """The client for the gateway that is set: one for the process, until the address or the key changes.

    The one before is closed when the last call or stream that uses it has ended.

    Raises:
        ConfigError: No address is set.
    """
    recipe = (get_gateway_uri(), os.environ.get("GATEWAY_API_KEY"))
    here = process()
    shared = here.shared
    if shared is None or shared[0] != recipe:
        shared = here.shared = recipe, MlflowGatewayClient(recipe[0], api_key=recipe[1])
    client: MlflowGatewayClient = shared[1]
    return client
