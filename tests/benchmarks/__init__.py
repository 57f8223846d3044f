"""What a request costs: CPU, latency and memory of the gateway, its SDKs and its peers, measured in one run."""
