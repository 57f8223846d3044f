"""Cohere's v1 behind both gateways: the same upstream requests, the same answers.

Beside the rules of `parity`, these differences hold for every case here:

- `created` is the second of the answer.
- mlflow forces `num_generations: 1`, as it forces `n`.
- A finish reason of mlflow's is none, or Cohere's own word in a stream; ours is OpenAI's, where Cohere tells one.
- A stream of ours has one id, and a role in its first chunk; mlflow's has the response's id in the last chunk only.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.peer.harness import Reply
from tests.peer.parity import (
    Case,
    Exchange,
    Pair,
    assert_holds,
    assert_same,
    assert_same_answer,
    assert_same_request,
    without_nulls,
)

Json = dict[str, Any]

HI = [{"role": "user", "content": "Hi"}]
ANSWER: Json = {
    "response_id": "abc123",
    "text": "Hello",
    "generation_id": "def456",
    "token_count": {"prompt_tokens": 13, "response_tokens": 7, "total_tokens": 20, "billed_tokens": 20},
    "meta": {"api_version": {"version": "1"}, "billed_units": {"input_tokens": 13, "output_tokens": 7}},
    "tool_inputs": None,
}
GENERATED: Json = {"id": "a", "generations": [{"id": "b", "text": " Hello"}], "prompt": "Hi"}
VECTORS: Json = {
    "id": "a",
    "texts": ["Hi"],
    "embeddings": [[3.25, 0.7685547]],
    "meta": [{"api_version": [{"version": "1"}]}],
}


def said(role: str, content: str) -> dict[str, str]:
    """A message."""
    return {"role": role, "content": content}


def reply(value: Any) -> Reply:
    """The upstream's answer."""
    return value if isinstance(value, Reply) else Reply(value)


def chat(name: str, answer: Any = ANSWER, /, **body: Any) -> Case:
    """A chat."""
    return Case(name, "cohere-chat", {"messages": HI, **body}, reply(answer))


def completion(name: str, answer: Any = GENERATED, /, **body: Any) -> Case:
    """A completion."""
    return Case(name, "cohere-completions", {"prompt": "Hi", **body}, reply(answer))


def embeddings(name: str, answer: Any = VECTORS, /, **body: Any) -> Case:
    """Embeddings."""
    return Case(name, "cohere-embeddings", {"input": "Hi", **body}, reply(answer))


def ask(case: Case, pair: Pair) -> tuple[Exchange, Exchange]:
    """What both did with a case, whose upstream requests are the same."""
    ours, theirs = pair.ask(case)
    expected = theirs.requests[0].json
    forced = {"temperature": "temperature", "num_generations": "n"}
    for name, asked in forced.items():
        if asked not in case.body:
            expected.pop(name, None)
    assert_same_request(replace(case, why="forced parameters", sends=expected), ours, theirs)
    return ours, theirs


CONVERSATION = [said("user", "Hi"), said("assistant", "Hello"), said("user", "Bye")]

ANSWERED = [
    chat("minimal"),
    chat("conversation", messages=CONVERSATION),
    chat("system", messages=[said("system", "Be brief."), *HI]),
    chat(
        "systems",
        messages=[said("system", "S1"), said("user", "A"), said("assistant", "B"), said("system", "S2"), *HI],
    ),
    chat("user-twice", messages=[*HI, *HI]),
    chat("empty", messages=[said("user", "")]),
    chat("temperature", temperature=0.5),
    chat("coldest", temperature=0),
    chat("hottest", temperature=2),
    chat("uneven", temperature=0.3),
    chat("sampling", max_tokens=10, n=1, seed=7, frequency_penalty=0.5, presence_penalty=0.1),
    chat("vendor-parameters", k=5, p=0.9, stop_sequences=["END"], citation_quality="fast"),
    chat("nulls", max_tokens=None, stop=None, tools=None),
    chat("no-stream", stream=False),
    completion("completion"),
    completion("completion-sampling", temperature=0.5, max_tokens=5, stop=["END"], n=1),
    completion("completion-coldest", temperature=0),
    completion("completion-vendor", k=5, truncate="END", return_likelihoods="NONE"),
    completion("completion-no-stream", stream=False),
    completion(
        "completions-two",
        {**GENERATED, "generations": [{"id": "b", "text": "1"}, {"id": "c", "text": "2", "index": 1}]},
        n=2,
        temperature=1,
    ),
    embeddings("embeddings"),
    embeddings("embeddings-several", {**VECTORS, "embeddings": [[0.5], [1]]}, input=["Hi", "Ho"]),
    embeddings("embeddings-vendor", input_type="search_query", truncate="END", input=["Hi"]),
    embeddings("embeddings-meta", {**VECTORS, "meta": {"api_version": {"version": "1"}}}),
]


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_a_call_is_mlflows(case: Case, pair: Pair) -> None:
    """The same call of Cohere's v1, and the same answer."""
    ours, theirs = ask(case, pair)

    assert ours.status == theirs.status == 200
    assert abs(ours.json.get("created", 0) - theirs.json.get("created", 0)) <= 2
    assert without_nulls({**ours.json, "created": 0}) == without_nulls({**theirs.json, "created": 0})


def test_what_is_billed_is_told(pair: Pair) -> None:
    """Ours: mlflow tells the tokens of chats only."""
    meta = {"api_version": {"version": "1"}, "billed_units": {"input_tokens": 4, "output_tokens": 3}}
    ours, _ = ask(completion("billed", {**GENERATED, "meta": meta}), pair)
    embedded, _ = ask(embeddings("embeddings-billed", {**VECTORS, "meta": meta}), pair)

    assert ours.json["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    assert embedded.json["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


def sent(**more: Any) -> Json:
    """The upstream's body of a chat."""
    return {"model": "command", "message": "Hi", **more}


BETTER = [
    replace(chat("top-p", top_p=0.9), why="Cohere's name for it is 'p'", sends=sent(p=0.9)),
    replace(
        chat("developer", messages=[said("developer", "Be brief."), *HI]),
        why="mlflow drops the message",
        sends=sent(preamble_override="Be brief."),
    ),
    replace(
        chat("parts", messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]),
        why="mlflow sends OpenAI's parts, which Cohere's v1 refuses",
        sends=sent(),
    ),
    replace(
        chat("no-token-count", {**ANSWER, "token_count": None, "finish_reason": "MAX_TOKENS"}),
        why="today's v1 tells the tokens elsewhere, at which mlflow fails",
        sends=sent(),
        status=200,
        answers={
            "choices": [{"finish_reason": "length"}],
            "usage": {"prompt_tokens": 13, "completion_tokens": 7, "total_tokens": 20},
        },
    ),
    replace(
        completion("stop-as-text", stop="END"),
        why="mlflow refuses what OpenAI's API takes",
        status=200,
        sends={"model": "command", "prompt": "Hi", "stop_sequences": ["END"]},
    ),
]


@pytest.mark.parametrize("case", BETTER, ids=lambda case: case.name)
def test_what_mlflow_leaves_untranslated_reaches_cohere_in_its_own_shape(case: Case, pair: Pair) -> None:
    """Names, parts, roles and tokens."""
    answers = case.answers if isinstance(case.answers, dict) else {"choices": [{"index": 0}]}
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert_same_answer(replace(case, answers=answers), ours, theirs)


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}

REFUSED = [
    chat("two-answers", n=2),
    chat("stop", stop=["END"]),
    chat("last-is-assistant", messages=[*HI, said("assistant", "Hello")]),
    chat("last-is-system", messages=[said("system", "Be brief.")]),
    chat("model", model="command"),
    completion("num-generations", num_generations=2),
    completion("stop-sequences", stop_sequences=["END"]),
    completion("completion-model", model="command"),
    embeddings("embeddings-texts", texts=["Hi"]),
    embeddings("embeddings-model", model="embed"),
    replace(
        chat("tools", tools=[{"type": "function", "function": {"name": "f"}}]),
        why="mlflow sends OpenAI's tools, which Cohere's v1 refuses",
        status=422,
    ),
    replace(
        chat("tool-results", messages=[{"role": "assistant", "tool_calls": [CALL]}, *HI]),
        why="mlflow fails with 500",
        status=422,
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_cohere_can_not_do_is_refused_as_mlflow_refuses_it(case: Case, pair: Pair) -> None:
    """The same status, and no upstream is called; the sentence is ours."""
    case = replace(case, why=case.why or "the sentence is ours", sends=None, answers={})
    assert_same(pair, case)


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (400, 400),
        (401, 502),
        (403, 502),
        (404, 404),
        (422, 422),
        (429, 429),
        (498, 400),
        (500, 502),
        (503, 503),
    ],
)
def test_an_upstream_failure_is_told_with_its_message(told: int, status: int, pair: Pair) -> None:
    """The caller's own errors keep their status; of the gateway's credentials and of the upstream it is 502-class."""
    headers = {"retry-after": "7"} if told == 429 else {}
    failing = chat("failed", Reply({"message": "that went wrong"}, told, headers=headers))
    ours, theirs = ask(failing, pair)

    assert theirs.status == told
    assert theirs.json["detail"] == {"message": "that went wrong"}
    assert ours.status == status
    assert "that went wrong" in ours.json["detail"]
    assert ours.headers.get("retry-after") == headers.get("retry-after")
    assert "cohere-test" not in ours.text


# --- streams ------------------------------------------------------------------------------------------------------


def lines(*values: Json) -> Reply:
    """A stream of JSON, one value on each line."""
    chunks = [json.dumps(value).encode() + b"\n" for value in values]
    return Reply(content_type="application/stream+json", chunks=chunks)


def piece(text: str, **more: Any) -> Json:
    """A piece of a text."""
    return {"is_finished": False, "event_type": "text-generation", "text": text, **more}


START = {"is_finished": False, "event_type": "stream-start", "generation_id": "def456"}
ENDED = {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE"}
MADE = {
    "id": "a",
    "generations": [{"id": "b", "text": " Hello", "finish_reason": "COMPLETE"}],
    "prompt": "Hi",
}

STREAMED = [
    chat("stream", lines(START, piece("Hel"), piece("lo"), {**ENDED, "response": ANSWER}), stream=True),
    chat(
        "stream-conversation",
        lines(START, piece("Hello"), {**ENDED, "response": ANSWER}),
        stream=True,
        messages=CONVERSATION,
        temperature=0.5,
    ),
    completion(
        "stream-completion", lines(piece(" Hel"), piece("lo"), {**ENDED, "response": MADE}), stream=True
    ),
    completion(
        "stream-completion-sampling",
        lines(piece(" Hello"), {**ENDED, "response": MADE}),
        stream=True,
        temperature=1,
        stop=["END"],
        max_tokens=3,
        n=1,
    ),
    completion(
        "stream-completions",
        lines(piece(" Hello", index=0), piece(" Hi", index=1), {**ENDED, "response": MADE}),
        stream=True,
        n=2,
    ),
]


def pieces(exchange: Exchange) -> list[Any]:
    """What a stream says, chunk by chunk: kind, model, place and text; what differs in every case is left out."""
    found = []
    for chunk in exchange.chunks:
        [choice] = chunk["choices"]
        text = choice.get("text") if "text" in choice else choice["delta"].get("content")
        found.append(
            (chunk["object"], chunk["model"], choice["index"], text, choice["finish_reason"] is None)
        )
    return found


@pytest.mark.parametrize("case", STREAMED, ids=lambda case: case.name)
def test_a_stream_says_what_mlflows_says(case: Case, pair: Pair) -> None:
    """The same request upstream, and chunk by chunk the same for the caller."""
    ours, theirs = ask(case, pair)

    assert ours.status == theirs.status == 200
    assert pieces(ours) == pieces(theirs)
    assert theirs.chunks[-1]["choices"][0]["finish_reason"] == "COMPLETE"
    assert ours.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert len({chunk["id"] for chunk in ours.chunks}) == 1


def test_an_upstream_that_refuses_a_stream_refuses_it_here(pair: Pair) -> None:
    """Ours: an error as for any other call. mlflow breaks off."""
    ours, theirs = pair.ask(chat("refused", Reply({"message": "that went wrong"}, 429), stream=True))

    assert theirs.status == 200
    assert ours.status == 429
    assert "that went wrong" in ours.json["detail"]


def test_an_error_in_a_stream_is_told_there(pair: Pair) -> None:
    """Ours: the last event is the error. mlflow passes Cohere's word on as a reason."""
    failing = {"is_finished": True, "event_type": "stream-end", "finish_reason": "ERROR", "response": ANSWER}
    ours, theirs = pair.ask(chat("breaks", lines(START, piece("Hel"), failing), stream=True))

    assert theirs.chunks[-1]["choices"][0]["finish_reason"] == "ERROR"
    assert_holds(ours.chunks[-1], {"detail": lambda detail: "ERROR" in detail})
