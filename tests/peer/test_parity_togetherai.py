"""Together AI behind both gateways: the same upstream requests, the same answers.

Beside the rules of `parity`: an answer is the route's model's; a finish reason of ours is OpenAI's (`stop` for `eos`)
and is there in unstreamed answers too; the first chunk of a streamed chat says whose it is. mlflow sends embeddings
without the model, which Together AI refuses.
"""

from dataclasses import replace
from typing import Any

import pytest

from tests.peer.harness import Reply, events
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

HI = [{"role": "user", "content": "Hi"}]
USAGE = {"prompt_tokens": 31, "completion_tokens": 455, "total_tokens": 486}
CHAT: dict[str, Any] = {
    "id": "8448080b880415ea-SJC",
    "choices": [{"message": {"role": "assistant", "content": "example"}}],
    "usage": USAGE,
    "created": 1705090115,
    "model": "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "object": "chat.completion",
}
TODAY = {
    **CHAT,
    "prompt": [],
    "choices": [
        {
            "index": 0,
            "finish_reason": "length",
            "seed": 7,
            "logprobs": None,
            "message": {"role": "assistant", "content": "example", "tool_calls": []},
        }
    ],
}
TWO = {**CHAT, "choices": [*CHAT["choices"], {"message": {"role": "assistant", "content": "other"}}]}
TEXT: dict[str, Any] = {
    "id": "8447f286bbdb67b3-SJC",
    "choices": [{"text": "Example text."}],
    "usage": {"prompt_tokens": 16, "completion_tokens": 78, "total_tokens": 94},
    "created": 1705089226,
    "model": "mistralai/Mixtral-8x7B-v0.1",
    "object": "text_completion",
}
VECTORS: dict[str, Any] = {
    "object": "list",
    "data": [{"object": "embedding", "embedding": [0.5, -0.25], "index": 0}],
    "model": "togethercomputer/m2-bert-80M-8k-retrieval",
    "request_id": "840fc1b5bb2830cb-SEA",
}


def made(route: str, name: str, given: dict[str, Any], reply: Any) -> Case:
    """A case of one of the routes."""
    return Case(name, f"togetherai-{route}", given, reply if isinstance(reply, Reply) else Reply(reply))


def chat(name: str, reply: Any = CHAT, /, **body: Any) -> Case:
    """A chat with one message, or those of `messages`."""
    return made("chat", name, {"messages": HI, **body}, reply)


def completion(name: str, reply: Any = TEXT, /, **body: Any) -> Case:
    """A completion of up to 200 tokens."""
    return made("completions", name, {"prompt": "Hi", "max_tokens": 200, **body}, reply)


def expected(case: Case, theirs: Exchange) -> dict[str, Any]:
    """mlflow's answer, with what it drops of the upstream's."""
    upstream, told = case.reply.body, theirs.json
    choices = []
    for mine, other in zip(told["choices"], upstream["choices"], strict=True):
        choice = {**other, **without_nulls(mine)}
        if "message" in choice:
            choice["message"] = {**other["message"], **without_nulls(mine["message"])}
        choices.append(choice)
    answer: dict[str, Any] = without_nulls({**upstream, **without_nulls(told), "choices": choices})
    return answer


ANSWERED = [
    chat("minimal"),
    chat("today", TODAY),
    chat("sampling", temperature=0.5, max_tokens=10, stop=["END"], top_p=0.3, n=1),
    chat("hottest", temperature=2),
    chat("two", TWO, n=2),
    chat("system", messages=[{"role": "system", "content": "Be brief."}, *HI]),
    chat("likelihoods", top_logprobs=2),
    chat("likelihoods-by-number", logprobs=2),
    chat("vendor-parameters", seed=7, logit_bias={"1": 2}, top_k=5, repetition_penalty=1.5, min_p=0.1),
    chat("nulls", max_tokens=None, stop=None, tools=None, seed=None),
    completion("completion"),
    completion("completion-sampling", temperature=1, stop=["END"], top_p=0.5, echo=True, seed=7),
    completion("completion-likelihoods", logprobs=2),
    completion("completion-top-likelihoods", top_logprobs=2),
    completion("completion-two", {**TEXT, "choices": [{"text": "a"}, {"text": "b"}]}, n=2),
    completion("completion-vendor-parameters", top_k=5, repetition_penalty=1.5),
]


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_an_answer_is_mlflows(case: Case, pair: Pair) -> None:
    """The same request, and the same answer under the route's model."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert ours.status == theirs.status == 200
    assert without_nulls(ours.json) == expected(case, theirs)
    assert ours.json["model"] == "togetherai-model"


def test_embeddings_are_mlflows_but_for_the_model(pair: Pair) -> None:
    """Without it the API refuses them. Ours keeps the id of the request."""
    case = replace(
        made("embeddings", "embeddings", {"input": ["a"]}, VECTORS),
        why="mlflow leaves the model out, which the API requires",
        sends={"model": "togetherai-model", "input": ["a"]},
    )
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert_same_answer(case, ours, theirs, upstream=VECTORS)
    assert ours.json["usage"] == {"prompt_tokens": None, "total_tokens": None}


def has(*words: str) -> Any:
    """An error whose sentence holds these words."""
    return {"detail": lambda detail: all(word in str(detail) for word in words)}


OWN = "the sentence is ours"
REFUSED = [
    replace(completion("unlimited"), body={"prompt": "Hi"}, why=OWN, answers=has("max_tokens")),
    replace(completion("null-limit", max_tokens=None), why=OWN, answers=has("max_tokens")),
    replace(chat("likelihoods-as-text", top_logprobs="2"), why=OWN, answers=has("top_logprobs")),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_mlflow_refuses_is_refused(case: Case, pair: Pair) -> None:
    """The same status, and no upstream is called."""
    case = replace(case, sends=None)
    assert_same(pair, case)


@pytest.mark.parametrize(
    ("status", "answered"),
    [(400, 400), (401, 502), (403, 502), (404, 404), (422, 422), (429, 429), (500, 502), (503, 503)],
)
@pytest.mark.parametrize("make", [chat, completion])
def test_an_upstream_failure_is_told_in_its_words(make: Any, status: int, answered: int, pair: Pair) -> None:
    """The caller's own errors keep their status; of the gateway's credentials and of the upstream it is 502-class."""
    body = {"id": "a", "error": {"message": "that went wrong", "type": "t", "param": None, "code": None}}
    case = replace(make("failed", Reply(body, status)), status=answered)
    ours, theirs = pair.ask(case)

    assert theirs.status == status
    assert_same_answer(case, ours, theirs)
    assert "sk-togetherai-test" not in ours.text


def piece(kind: str, text: str, finish: str | None = None, usage: Any = None) -> dict[str, Any]:
    """A piece of a stream, as it was when mlflow learnt it."""
    delta = {"token_id": 415, "content": text}
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish, "delta": delta}
    frame = {"id": "86f2cfd18f6b38ca-ATH", "object": kind, "created": 1712249578}
    return {**frame, "choices": [choice], "model": "mistralai/Mixtral-8x7B-v0.1", "usage": usage}


@pytest.mark.parametrize(
    ("make", "kind"), [(chat, "chat.completion.chunk"), (completion, "completion.chunk")]
)
@pytest.mark.parametrize(("reason", "ours_is"), [("length", "length"), ("eos", "stop")])
def test_a_stream_is_mlflows_chunk_by_chunk(
    make: Any, kind: str, reason: str, ours_is: str, pair: Pair
) -> None:
    """The same pieces under the route's model, with what mlflow drops of them."""
    pieces = [piece(kind, " The"), piece(kind, " City"), piece(kind, " of", reason, USAGE)]
    case = make("stream", events(*pieces, done=True), stream=True)
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    told = [
        without_nulls({**upstream, **without_nulls(chunk)})
        for upstream, chunk in zip(pieces, theirs.chunks, strict=True)
    ]
    assert [{**chunk, "choices": []} for chunk in without_nulls(ours.chunks)] == [
        {**chunk, "choices": []} for chunk in told
    ]
    texts = [
        chunk["choices"][0].get("text") or chunk["choices"][0]["delta"]["content"] for chunk in ours.chunks
    ]
    theirs_texts = [
        (chunk["choices"][0].get("text") or chunk["choices"][0].get("delta", {}).get("content"))
        for chunk in theirs.chunks
    ]
    assert texts == theirs_texts
    assert [chunk["choices"][0]["finish_reason"] for chunk in ours.chunks] == [None, None, ours_is]
    assert [chunk["choices"][0]["finish_reason"] for chunk in theirs.chunks] == [None, None, reason]


@pytest.mark.parametrize(("status", "answered"), [(400, 400), (401, 502), (429, 429), (500, 502)])
def test_an_upstream_that_refuses_a_stream_refuses_it_here(status: int, answered: int, pair: Pair) -> None:
    """Ours: an error as for any other call. mlflow answers 200 and breaks off."""
    body = {"id": "a", "error": {"message": "that went wrong", "type": "t", "param": None, "code": None}}
    ours, theirs = pair.ask(chat("refused", Reply(body, status), stream=True))

    assert theirs.status == 200
    assert ours.status == answered
    assert_holds(ours.json, has("that went wrong"))
