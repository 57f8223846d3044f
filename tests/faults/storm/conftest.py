"""These suites have loops of their own; the gateway and its upstream are other processes."""

import pytest


@pytest.fixture(autouse=True)
def quiet() -> None:
    """In place of what watches the loop of the suites beside these."""
