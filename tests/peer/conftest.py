"""Two gateways and one mock upstream, started once for all the peer tests.

They need `MLFLOW_PEER_PYTHON`, the interpreter of an environment of its own that holds `mlflow[gateway]==2.22.5`;
without it every test here is skipped.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peer.harness import PEER_PYTHON, Gateway, Upstream, our_gateway, peer_gateway
from tests.peer.parity import Pair
from tests.peer.routes import configuration


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """The one upstream of both gateways."""
    if not PEER_PYTHON:
        pytest.skip(
            "MLFLOW_PEER_PYTHON is not set; it names the Python of an environment with mlflow[gateway]==2.22.5"
        )
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the configuration and the gateways' output are."""
    return tmp_path_factory.mktemp("peer")


@pytest.fixture(scope="session")
def config(upstream: Upstream, folder: Path) -> Path:
    """The configuration file, the same for both gateways."""
    path = folder / "config.yaml"
    path.write_text(json.dumps(configuration(upstream.url)))
    return path


@pytest.fixture(scope="session")
def theirs(config: Path, upstream: Upstream, folder: Path) -> Iterator[Gateway]:
    """mlflow's gateway."""
    with peer_gateway(config, log=folder / "theirs.log", upstream=upstream.url) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def ours(config: Path, folder: Path) -> Iterator[Gateway]:
    """Our gateway."""
    with our_gateway(config, log=folder / "ours.log") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def pair(ours: Gateway, theirs: Gateway, upstream: Upstream) -> Iterator[Pair]:
    """Both gateways, to be asked the same."""
    with Pair(ours=ours, theirs=theirs, upstream=upstream) as pair:
        yield pair
