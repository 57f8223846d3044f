"""What a call used stands at the end of its line in the access log."""

import pytest

from tests.support.configs import HELLO, Json
from tests.support.server import Server
from tests.support.upstream import CUT, DONE, MockUpstream, Reply, chat, delta, error, event, stream

USAGE = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
FRAME = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-mock"}
WORDS = (delta("x" * 40), delta("y" * 40))
END = (delta(finish="stop"), DONE)
LAST = event({**FRAME, "choices": [], "usage": USAGE})

dialects = pytest.mark.parametrize("of_openai", [False, True], ids=["documented", "openai"])

SAID: dict[str, tuple[Reply, str]] = {
    "whole": (chat("Hello"), " 3+2 tokens"),
    "whole, untold": (chat("Hello", usage=None), ""),
    "stream": (stream(*WORDS, delta(finish="stop"), LAST, DONE), " 30+12 tokens"),
    "stream, untold": (stream(*WORDS, *END), " ~3+20 tokens"),
    "stream, broken off": (stream(*WORDS, CUT), " ~3+20 tokens"),
    "refused": (error(400), ""),
}


@dialects
@pytest.mark.parametrize(("reply", "said"), SAID.values(), ids=SAID)
def test_a_line_ends_with_the_tokens_of_prompt_and_answer(
    server: Server, upstream: MockUpstream, reply: Reply, said: str, of_openai: bool
) -> None:
    """Behind a ~ where they are estimated; without any where nobody knows."""
    upstream.reply(reply)
    mark = f"tokens-{len(server.log)}"
    body: Json = {**HELLO, **({"stream": True} if reply.script else {})}
    path = "/v1/chat/completions" if of_openai else "/gateway/up-chat/invocations"
    with server.client() as http:
        http.post(
            path, json={**body, **({"model": "up-chat"} if of_openai else {})}, headers={"x-request-id": mark}
        )

    server.wait_for_log(mark)
    line = next(line for line in server.log.splitlines() if mark in line)
    assert line.endswith(f"{mark}{said}")


def test_what_is_no_call_of_a_model_has_none(server: Server) -> None:
    """Only calls use tokens."""
    mark = f"tokens-{len(server.log)}"
    with server.client() as http:
        http.get("/health", headers={"x-request-id": mark})

    server.wait_for_log(mark)
    assert next(line for line in server.log.splitlines() if mark in line).endswith(mark)
