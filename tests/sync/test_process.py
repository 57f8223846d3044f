"""The loop thread and its process: fork, and the end of the interpreter."""

import os

import pytest

from tests.support.upstream import MockUpstream
from tests.sync.gateway import gateway
from tests.sync.scripts import LOOPS, script

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


@needs_fork
@pytest.mark.parametrize("loop", LOOPS)
def test_a_fork_has_its_own_thread_and_sockets(loop: str) -> None:
    """Parent and child call on with the same client objects, and a stream of the parent goes on undisturbed."""
    with gateway() as server:
        printed = script(
            """
client = MlflowGatewayClient(sys.argv[1])
set_gateway_uri(sys.argv[1])
mine = client.query("chat", {})["connection"]
fluent = query("chat", {})["connection"]
stream = MlflowGatewayClient(sys.argv[1]).stream("chat", {"n": 4, "hold_at": 2})
assert next(stream) == {"i": 0}

if not (child := os.fork()):
    theirs = {client.query("chat", {})["connection"] for _ in range(3)}
    assert len(theirs) == 1 and mine not in theirs
    assert query("chat", {})["connection"] not in {mine, fluent, *theirs}
    try:
        next(stream)
    except RuntimeError as error:
        print(error)
    stream.close()
    del stream
    client.close()
    sys.exit()

assert os.waitpid(child, 0)[1] == 0
assert client.query("release", {})["connection"] == mine
assert query("chat", {})["connection"] == fluent
assert list(stream) == [{"i": 1}, {"i": 2}, {"i": 3}]
print("parent")
""",
            server.url,
            loop=loop,
        )
    assert printed.split("\n") == [
        "this stream ended with the process that opened it; make the call again here",
        "parent",
        "",
    ]


@needs_fork
@pytest.mark.parametrize("loop", LOOPS)
def test_a_pool_of_forked_workers_works(loop: str) -> None:
    """Each worker uses the client that the parent made and used, and gets it pickled as well."""
    with gateway() as server:
        printed = script(
            """
import multiprocessing

client = MlflowGatewayClient(sys.argv[1])
ours = client.query("chat", {})["connection"]

def ask(other):
    return [each.query("chat", {})["connection"] for each in (client, other)]

with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.map(ask, [client] * 4)
    pool.close()
    pool.join()
assert all(ours not in pair for pair in found), found
assert client.query("chat", {})["connection"] == ours
print("done")
""",
            server.url,
            loop=loop,
        )
    assert printed == "done\n"


@needs_fork
@pytest.mark.parametrize("loop", LOOPS)
def test_a_fork_has_its_own_engine(loop: str) -> None:
    """A gateway within the process opens its own connections to the providers."""
    upstream = MockUpstream()
    try:
        printed = script(
            """
model = {"provider": "openai", "name": "m", "config": {"openai_api_key": "k", "openai_api_base": sys.argv[1]}}
config = {"endpoints": [{"name": "chat", "endpoint_type": "llm/v1/chat", "model": model}]}
hello = {"messages": [{"role": "user", "content": "Hello"}]}
client = MlflowGatewayClient.local(config)

def ask():
    print(client.query("chat", hello)["choices"][0]["message"]["content"], flush=True)

ask()
if not (child := os.fork()):
    ask()
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
ask()
""",
            upstream.url,
            loop=loop,
        )
    finally:
        upstream.close()
    assert printed.splitlines() == ["Hello there"] * 3


@needs_fork
def test_a_fork_can_not_use_the_parents_httpx_client() -> None:
    """Its connections are the parent's; the error says what to do."""
    with gateway() as server:
        printed = script(
            """
import httpx
client = MlflowGatewayClient(sys.argv[1], http_client=httpx.AsyncClient())
if not (child := os.fork()):
    try:
        client.health()
    except RuntimeError as error:
        print(error)
    sys.exit()
os.waitpid(child, 0)
""",
            server.url,
        )
    assert "make it anew in the child process" in printed


# The end of the interpreter


ENDINGS = {
    "an open client": 'client = MlflowGatewayClient(url); client.query("chat", {})',
    "the functions' client": 'set_gateway_uri(url); query("chat", {})',
    "an open stream": 'stream = MlflowGatewayClient(url).stream("chat", {"n": 2, "hold_at": 1}); next(stream)',
    "a full stream": 'stream = MlflowGatewayClient(url).stream("chat", {"n": 999}); next(stream)',
    "a client that was never used": "client = MlflowGatewayClient(url)",
    "a daemon thread that waits": """
client = MlflowGatewayClient(url)
stream = client.stream("chat", {"n": 2, "hold_at": 1})
reads, begun = threading.Event(), threading.Event()
def read():
    for _ in stream:
        reads.set()
async def wait():
    begun.set()
    await run_forever()
async def run_forever():
    import asyncio
    await asyncio.sleep(600)
threading.Thread(target=read, daemon=True).start()
reads.wait()
threading.Thread(target=lambda: run(wait), daemon=True).start()
begun.wait()
""",
    "an exit hook that calls": """
import atexit
client = MlflowGatewayClient(url)
atexit.register(lambda: client.query("chat", {}))
client.health()
""",
    "an object that closes in __del__": """
class Owner:
    def __init__(self):
        self.client = MlflowGatewayClient(url)
        self.stream = self.client.stream("chat", {"n": 2, "hold_at": 1})
        self.me = self
    def __del__(self):
        self.stream.close()
        self.client.close()
owner = Owner()
sys.modules["builtins"].owner = owner
""",
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("what", ENDINGS)
def test_the_interpreter_ends_in_silence_with(what: str, loop: str) -> None:
    """No warning, no error and no wait, whatever is still open."""
    with gateway() as server:
        printed = script(f"url = sys.argv[1]\n{ENDINGS[what]}\nprint('end')", server.url, loop=loop)
    assert printed == "end\n"


def test_clients_are_closed_when_the_interpreter_ends() -> None:
    """What they have to write or to send goes out."""
    printed = script(
        """
from gateway_sync._bridge import Bridged

class Connections:
    async def query(self):
        return "answer"
    async def aclose(self):
        print("closed", flush=True)

client = Bridged(Connections())
print(run(client._async.query))
"""
    )
    assert printed.split() == ["answer", "closed"]


def test_a_call_after_the_end_says_so() -> None:
    """Whoever calls after the loop has ended gets an error, and does not wait for ever."""
    printed = script(
        """
import atexit
sys.modules["builtins"].last = type("Last", (), {"__del__": lambda self: after()})()

def after():
    try:
        run(print)
    except RuntimeError as error:
        os.write(1, str(error).encode())
"""
    )
    assert printed == "the interpreter is exiting: the gateway can't be called any more"
