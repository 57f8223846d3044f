"""The gateway's server: an ASGI app, to run by `gateway start` or to mount in a service that exists.

from gateway_server import create_app

app = Starlette(routes=[Mount("/ai", app=create_app("gateway.yaml"))])
"""

try:
    from gateway_server.app import GatewayApp, create_app, lifespan
except ImportError as absent:
    if absent.name is None or absent.name.split(".")[0] in ("gateway_async", "gateway_server"):
        raise
    raise ImportError(
        f"the gateway's server needs {absent.name}: pip install 'ai-gateway-sdk[server]'", name=absent.name
    ) from absent

__all__ = ["GatewayApp", "create_app", "lifespan"]
