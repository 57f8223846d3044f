"""What the gateway has to survive without its callers noticing: `python -m tests.faults.scenarios`."""
