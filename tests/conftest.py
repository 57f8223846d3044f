"""What several suites share: a mock upstream over a real socket."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.upstream import MockUpstream, chat, mock_upstream

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
"""The same examples each time; `HYPOTHESIS_PROFILE=default` looks for others."""


@pytest.fixture(scope="session", autouse=True)
def no_proxy() -> Iterator[None]:
    """Everything here is on this machine: no proxy of its user's takes part."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_state_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a gateway keeps beside its file is kept in a place of the tests'."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Ctrl-C works here as in a terminal. What runs in a shell's background is born deaf to it, its children too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[MockUpstream]:
    """The one mock upstream, whose address configurations may hold. Tests take `upstream`."""
    with mock_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(shared_upstream: MockUpstream) -> MockUpstream:
    """The mock upstream, as if it were new: it answers a chat, and has received nothing."""
    shared_upstream.reply(chat())
    return shared_upstream
