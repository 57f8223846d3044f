"""Other vendors' clients that speak OpenAI's format, unmodified, against a running gateway: whichever provider answers.

Each is pointed at `/v1` and asks routes of several providers, whose upstreams answer as recorded.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import httpx2
import pytest
from huggingface_hub import InferenceClient
from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from together import Together

from tests.providers.cases import CASES
from tests.providers.through import replay, route
from tests.support.server import Server
from tests.support.upstream import MockUpstream

Json = dict[str, Any]

WHOLE = (
    "openai/chat",
    "anthropic/chat_tool_calls",
    "gemini/chat",
    "cohere/chat",
    "bedrock/chat",
    "groq/chat",
)
STREAMED = ("openai/stream", "anthropic/stream", "gemini/stream", "bedrock/stream", "groq/stream")
EMBEDDED = ("openai/embeddings", "gemini/embeddings", "mistral/embeddings")

HI: list[Json] = [{"role": "user", "content": "Hi"}]

Ask = Callable[[str, list[Json], bool], list[Json]]
"""Asks a route: its messages go in, an answer or the chunks come out."""


def with_mistral(gateway: Server) -> Iterator[Ask]:
    """Mistral's client."""
    with httpx2.Client(trust_env=False, timeout=20.0) as http:
        client = Mistral(api_key="any", server_url=gateway.url, client=http)

        def ask(model: str, messages: list[Json], stream: bool) -> list[Json]:
            said: Any = messages
            if not stream:
                return [client.chat.complete(model=model, messages=said).model_dump(mode="json")]
            with client.chat.stream(model=model, messages=said) as events:
                return [event.data.model_dump(mode="json") for event in events]

        yield ask


def with_together(gateway: Server) -> Iterator[Ask]:
    """Together AI's client."""
    with httpx.Client(trust_env=False, timeout=20.0) as http:
        client = Together(api_key="any", base_url=gateway.url, http_client=http, max_retries=0)

        def ask(model: str, messages: list[Json], stream: bool) -> list[Json]:
            said: Any = messages
            if not stream:
                return [client.chat.completions.create(model=model, messages=said).to_dict(mode="json")]
            chunks = client.chat.completions.create(model=model, messages=said, stream=True)
            return [chunk.to_dict(mode="json") for chunk in chunks]

        yield ask


def with_hugging_face(gateway: Server) -> Iterator[Ask]:
    """Hugging Face's client."""
    client = InferenceClient(base_url=f"{gateway.url}/v1", api_key="any", timeout=20.0)

    def ask(model: str, messages: list[Json], stream: bool) -> list[Json]:
        if not stream:
            return [as_json(client.chat_completion(messages, model=model))]
        return [as_json(chunk) for chunk in client.chat_completion(messages, model=model, stream=True)]

    yield ask


CLIENTS: Mapping[str, Callable[[Server], Iterator[Ask]]] = {
    "mistralai": with_mistral,
    "together": with_together,
    "huggingface_hub": with_hugging_face,
}


@pytest.fixture(scope="module", params=CLIENTS)
def ask(request: pytest.FixtureRequest, gateway: Server) -> Iterator[Ask]:
    """One of the clients."""
    yield from CLIENTS[request.param](gateway)


def as_json(value: Any) -> Any:
    """What the client made of an answer, as JSON."""
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_is_read(ask: Ask, upstream: MockUpstream, name: str) -> None:
    """Its text, its calls, its reason and its usage, as recorded."""
    case = CASES[name]
    assert case.answer is not None
    replay(upstream, case)

    (answer,) = ask(route(case), HI, False)

    expected, choice = case.answer["choices"][0], answer["choices"][0]
    assert (choice["message"]["content"] or None) == (expected["message"]["content"] or None)
    assert choice["finish_reason"] == expected["finish_reason"]
    assert answer["usage"]["total_tokens"] == case.answer["usage"]["total_tokens"]
    assert [call["function"]["name"] for call in choice["message"].get("tool_calls") or ()] == [
        call["function"]["name"] for call in expected["message"].get("tool_calls", ())
    ]


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_is_read(ask: Ask, upstream: MockUpstream, name: str) -> None:
    """Its words, and why it ends."""
    case = CASES[name]
    assert case.chunks is not None
    replay(upstream, case)

    chunks = ask(route(case), HI, True)

    assert words(chunks) == words(case.chunks)
    reasons = [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]]
    assert reasons[-1] == "stop"


def words(chunks: Any) -> str:
    """The text that chunks add up to."""
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


@pytest.mark.parametrize("name", EMBEDDED)
def test_embeddings_are_read(gateway: Server, upstream: MockUpstream, name: str) -> None:
    """By Together AI's client."""
    case = CASES[name]
    assert case.answer is not None
    replay(upstream, case)
    with httpx.Client(trust_env=False) as http:
        client = Together(api_key="any", base_url=gateway.url, http_client=http, max_retries=0)
        found = client.embeddings.create(model=route(case), input=case.request["input"])

    assert [row.embedding for row in found.data] == [row["embedding"] for row in case.answer["data"]]


def test_a_refusal_is_read(gateway: Server) -> None:
    """The status and the words of the gateway's own errors."""
    with httpx2.Client(trust_env=False) as http:
        client = Mistral(api_key="any", server_url=gateway.url, client=http)
        said: Any = HI
        with pytest.raises(SDKError) as refused:
            client.chat.complete(model="nowhere", messages=said)

    assert refused.value.status_code == 404
    assert "there is no route 'nowhere'" in refused.value.body
