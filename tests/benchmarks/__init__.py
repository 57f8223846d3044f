"""What a request costs: CPU, latency and memory of the gateway, of each of its policies, its SDKs and its peers.

    python -m tests.benchmarks [--quick] [--only NAME] [--json FILE] [--markdown FILE]
    python -m tests.benchmarks.soak [--requests 1000000] [--markdown FILE]

MLFLOW_PEER_PYTHON and LITELLM_PEER_PYTHON name interpreters that have mlflow[gateway] and litellm[proxy], PORTKEY_PEER
a folder in which npm installed @portkey-ai/gateway; `nox -s bench` brings all three. What is not there is left out,
and said to be. Linux only: CPU time is read from the kernel. docs/performance.md tells how it is measured.
"""
