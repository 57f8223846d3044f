"""The gateways that ours is put beside, each with one worker and as its makers say that it is fast."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from .children import version
from .gateways import KEY, ROUTES, Gateway, documented, python_lacking

MLFLOW = os.environ.get("MLFLOW_PEER_PYTHON", "")
"""The interpreter that has mlflow[gateway] 2.22.5; it conflicts with nothing of ours in an environment of its own."""

LITELLM = os.environ.get("LITELLM_PEER_PYTHON", "")
"""The interpreter that has litellm[proxy]."""

PORTKEY = Path(os.environ.get("PORTKEY_PEER", ""), "node_modules", "@portkey-ai", "gateway")
"""Where npm put Portkey's gateway, below the folder that the environment names."""


def litellm_configuration(upstream: int, _port: int) -> str:
    """The routes as models, nothing else switched on."""
    models = [
        {
            "model_name": route,
            "litellm_params": {
                "model": "openai/gpt-4o-mini",
                "api_key": KEY,
                "api_base": f"http://127.0.0.1:{upstream}{base}",
            },
        }
        for route, base in ROUTES.items()
    ]
    return json.dumps({"model_list": models, "litellm_settings": {"num_retries": 0, "callbacks": []}})


def nginx_configuration(upstream: int, port: int) -> str:
    """One worker that keeps its connections to the upstream and passes streams on as they come."""
    places = "".join(f"{kind}_temp_path {kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""
        daemon off; worker_processes 1; pid nginx.pid; error_log stderr error;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; keepalive_requests 1000000000; client_body_temp_path body; {places}
            upstream mock {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";
                    proxy_buffering off;
                }}
            }}
        }}
    """


def _portkey_lacking() -> str:
    if not (PORTKEY / "package.json").exists():
        return "PORTKEY_PEER may name a folder in which npm installed @portkey-ai/gateway"
    return "" if shutil.which("node") else "no node"


def _nginx_lacking() -> str:
    return "" if shutil.which("nginx") else "no nginx; Debian's package is nginx-light"


def _portkey_version() -> str:
    return str(json.loads((PORTKEY / "package.json").read_text())["version"])


def _nginx_version() -> str:
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    return said.rpartition("/")[2].strip()


PEERS = (
    Gateway(
        "nginx proxy_pass",
        ("nginx", "-e", "stderr", "-p", "{folder}", "-c", "{config}"),
        lacking=_nginx_lacking,
        version=_nginx_version,
        configuration=nginx_configuration,
        path="{base}/chat/completions",
    ),
    Gateway(
        "Portkey's gateway",
        ("node", str(PORTKEY / "build" / "start-server.js"), "--port={port}", "--headless"),
        lacking=_portkey_lacking,
        version=_portkey_version,
        health="/",
        path="/v1/chat/completions",
        model=True,
        headers={
            "authorization": f"Bearer {KEY}",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": "http://127.0.0.1:{upstream}{base}",
        },
        environment={"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1"},
    ),
    Gateway(
        "mlflow's own gateway",
        (
            *(MLFLOW, "-m", "mlflow", "gateway", "start", "--config-path", "{config}"),
            *("--port", "{port}", "--workers", "1"),
        ),
        lacking=python_lacking(MLFLOW, "mlflow", "gunicorn", variable="MLFLOW_PEER_PYTHON"),
        version=lambda: version(MLFLOW, "mlflow"),
        configuration=documented,
    ),
    Gateway(
        "litellm's proxy",
        (
            *(LITELLM, "-c", "from litellm import run_server; run_server()", "--config", "{config}"),
            *("--host", "127.0.0.1", "--port", "{port}", "--num_workers", "1"),
        ),
        lacking=python_lacking(LITELLM, "litellm", "fastapi", variable="LITELLM_PEER_PYTHON"),
        version=lambda: version(LITELLM, "litellm"),
        configuration=litellm_configuration,
        health="/health/liveliness",
        path="/v1/chat/completions",
        model=True,
        headers={"authorization": f"Bearer {KEY}"},
        environment={
            "LITELLM_MASTER_KEY": KEY,  # it does not start without one
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the network for prices
        },
    ),
)
