"""What a request costs: CPU, latency and memory of the gateway, its SDKs and its peers, measured in one run.

    python -m tests.benchmarks [--quick] [--json FILE] [--only NAME]

MLFLOW_PEER_PYTHON names an interpreter that has mlflow[gateway] 2.22.5; without it, mlflow's rows are left out. Linux
only: CPU time is read from the kernel. `floor` tells how fast the machine is at the moment; compare with it rather
than with numbers of another day.
"""
