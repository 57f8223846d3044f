"""What the providers' tests have in common: nothing of this machine's user takes part."""

import os
from collections.abc import Iterator

import pytest

from tests.providers.through import recorded_gateway
from tests.support.server import Server
from tests.support.upstream import MockUpstream


@pytest.fixture(scope="session", autouse=True)
def no_aws() -> Iterator[None]:
    """AWS's variables and files are not read; they would name another region, address or account."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session")
def gateway(shared_upstream: MockUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway with a route for each recorded case, whose providers are all the mock upstream."""
    with recorded_gateway(tmp_path_factory.mktemp("recorded"), shared_upstream) as server:
        yield server
