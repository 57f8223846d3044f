"""`gateway` and `python -m gateway_server`."""

import sys


def main() -> None:
    """Run the command line; without the extra `server`, say how to get it."""
    try:
        from gateway_server.cli.main import run
    except ImportError as absent:
        if absent.name is None or absent.name.split(".")[0] in (
            "gateway_async",
            "gateway_sync",
            "gateway_server",
        ):
            raise
        sys.exit(f"gateway: this command needs {absent.name}: pip install 'ai-gateway-sdk[server]'")
    run()


if __name__ == "__main__":
    main()
