"""The end of a host: what the gateway had open is closed, without a warning."""

from pathlib import Path

import pytest

from tests.mounted.conftest import FRAMEWORKS, hosted
from tests.mounted.hosts import PREFIX
from tests.support.configs import HELLO
from tests.support.upstream import mock_upstream


@pytest.mark.parametrize(
    ("framework", "wiring"), [*((f, "wired") for f in FRAMEWORKS), ("starlette", "closed")]
)
def test_a_host_s_lifespan_closes_connections_and_ends_tasks(
    tmp_path: Path, framework: str, wiring: str
) -> None:
    """By the lifespan that we offer, or by `app.aclose()`: before the process ends, and every warning an error."""
    with mock_upstream() as upstream, hosted(tmp_path, framework, wiring, upstream) as host:
        with host.client() as http:
            assert http.post(f"{PREFIX}/gateway/up-chat/invocations", json=HELLO).is_success
        assert upstream.open_connections == 1

        left = host.stop()

        upstream.nobody_is_connected()
        assert host.process.poll() is None
        assert not [name for name in left if "watch" in name]
        assert host.finish() == ""
