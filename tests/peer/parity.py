"""One case, two gateways: what is compared, and every difference that the contract permits.

A case goes to mlflow's gateway and to ours, over sockets, with the same mock upstream behind both. What the upstream
saw and what the caller got must then be the same, but for what these rules and the fields of a case name:

1. `temperature: 0` and `n: 1` stand in mlflow's upstream request when the caller gave none; ours leaves them out
   ("a parameter the caller did not send is not sent upstream").
2. A null in a JSON answer says as much as a field that is absent: mlflow writes `tool_calls`, `refusal`, `limit`,
   `next_page_token` and a delta's `role` and `content` as null.
3. A field of the upstream's answer that mlflow drops stands in ours as the upstream sent it ("what an upstream adds
   beyond these reaches the caller").
4. An error of ours has `error_code` and `message` beside `detail`.
5. Where a body fails validation, the problems stand at the same `loc`s, each with a `msg` and a `type`; these two are
   pydantic's or ours. mlflow's `loc` goes on with the branch of a union or the position in broken JSON, ours ends at
   the field; a field is there once for each branch.
6. An upstream's error message stands in our `detail`; the words around it are ours.
7. Ours asks for the usage of every stream, where the provider has `stream_options` ("usage is counted in every stream,
   whatever the caller asked"); a caller who did not ask gets no chunk of it.

Anything else is written at its case, with the reason in `why`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

import httpx

from tests.peer.harness import Gateway, Received, Reply, Upstream

AUTHENTICATION = ("authorization", "x-api-key", "api-key", "openai-organization", "anthropic-version")
SAME: Any = object()
"""The value of a case's field that permits no difference."""


@dataclass(frozen=True)
class Case:
    """One call, and how ours may differ from mlflow's there.

    Attributes:
        body: JSON, or raw bytes.
        reply: What the upstream answers.
        why: The reason for the fields below; empty when there are none.
        sends: The body that ours sends upstream where it is not mlflow's; None: ours calls no upstream.
        status: The status of our answer where it is not mlflow's.
        answers: Our answer where it is not mlflow's; of an object only the fields named here are compared.
        their_reply: What mlflow's parser needs in place of `reply`.
    """

    name: str
    route: str
    body: Any
    reply: Reply
    why: str = ""
    sends: Any = SAME
    status: int | None = None
    answers: Any = SAME
    their_reply: Reply | None = None
    path: str = ""
    method: str = "POST"

    @property
    def address(self) -> str:
        """The path that is called: the route's, or the case's own."""
        return self.path or f"/gateway/{self.route}/invocations"


@dataclass(frozen=True)
class Exchange:
    """What one gateway did: the requests that it sent upstream, and its answer."""

    requests: list[Received]
    status: int
    headers: httpx.Headers
    text: str
    cut: bool = False
    """The connection broke before the answer's end."""

    @property
    def json(self) -> Any:
        """The answer, decoded."""
        return json.loads(self.text)

    @property
    def chunks(self) -> list[Any]:
        """The events of a stream, decoded; `[DONE]` stays as it is.

        Raises:
            AssertionError: It is not a stream of `data: …` and a blank line each.
        """
        assert self.headers["content-type"].partition(";")[0] == "text/event-stream"
        events = self.text.split("\n\n")
        assert events.pop() == "", "the last event is complete"
        assert all(event.startswith("data: ") and "\n" not in event for event in events), self.text
        return [data if data == "[DONE]" else json.loads(data) for data in (event[6:] for event in events)]


class Pair:
    """Both gateways, asked one after the other."""

    def __init__(self, *, ours: Gateway, theirs: Gateway, upstream: Upstream) -> None:
        self.ours, self.theirs, self.upstream = ours, theirs, upstream
        # mlflow's server drops the connection on which it answered a bare 500: every call has its own.
        self._http = httpx.Client(
            timeout=30, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, case: Case) -> tuple[Exchange, Exchange]:
        """What ours did with a case, and what mlflow's did."""
        ours = self._send(self.ours, case, case.reply)
        return ours, self._send(self.theirs, case, case.their_reply or case.reply)

    def _send(self, gateway: Gateway, case: Case, reply: Reply) -> Exchange:
        self.upstream.reply(reply)
        content = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
        headers = {"content-type": "application/json"}
        text, cut = "", False
        with self._http.stream(
            case.method, gateway.url + case.address, content=content, headers=headers
        ) as answer:
            try:
                for piece in answer.iter_text():
                    text += piece
            except httpx.RemoteProtocolError:
                cut = True
        return Exchange(self.upstream.take(), answer.status_code, answer.headers, text, cut)


def assert_same(pair: Pair, case: Case) -> None:
    """What ours did with a case is what mlflow's did: what went upstream, and what came of it."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert_same_answer(case, ours, theirs)


# --- the upstream request ---------------------------------------------------------------------------------------


def assert_same_request(case: Case, ours: Exchange, theirs: Exchange) -> None:
    """What the upstream saw of ours is what it saw of mlflow's, by rules 1 and 7 and the case's `sends`."""
    if case.sends is None:
        assert ours.requests == []
        return
    assert len(ours.requests) == 1, f"{len(ours.requests)} upstream requests; {ours.status} {ours.text}"
    sent = ours.requests[0]
    if theirs.requests:
        assert _frame(sent) == _frame(theirs.requests[0])
    expected = _unforced(theirs.requests[0].json, case.body) if case.sends is SAME else case.sends
    body = sent.json
    if "stream_options" not in case.body and body.get("stream_options") == {"include_usage": True}:
        del body["stream_options"]
    assert body == expected


def _frame(request: Received) -> dict[str, Any]:
    """All of a request but its body; of the headers, those that say who asks and in which version."""
    headers = {name: request.headers[name] for name in AUTHENTICATION if name in request.headers}
    kind = request.headers["content-type"].partition(";")[0]
    return {"to": (request.method, request.path), "query": request.query, "headers": headers, "kind": kind}


def _unforced(sent: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """mlflow's upstream body without what rule 1 names."""
    forced = {("temperature", 0.0), ("n", 1)}
    return {key: value for key, value in sent.items() if key in asked or not _is_one_of(forced, key, value)}


def _is_one_of(pairs: set[tuple[str, float]], key: str, value: Any) -> bool:
    return isinstance(value, int | float) and (key, value) in pairs


# --- the answer -------------------------------------------------------------------------------------------------


def assert_same_answer(case: Case, ours: Exchange, theirs: Exchange, *, upstream: Any = None) -> None:
    """What our caller got is what mlflow's got, by rules 2 to 6 and the case's `status` and `answers`.

    Args:
        upstream: The upstream's JSON where it has the shape of the answer, for rule 3.
    """
    assert ours.status == (case.status or theirs.status), ours.text
    if case.answers is not SAME:
        assert_holds(ours.json, case.answers)
    elif ours.status < 400:
        assert without_nulls(ours.json) == without_nulls(_with_extras(theirs.json, upstream))
    else:
        _assert_same_error(ours.json, theirs.json)


def assert_same_stream(ours: Exchange, theirs: Exchange, *, upstream: list[Any]) -> None:
    """Chunk by chunk what mlflow's caller got, by rules 2 and 3."""
    assert ours.status == theirs.status == 200
    expected = [_with_extras(*chunk) for chunk in zip(theirs.chunks, upstream, strict=True)]
    assert without_nulls(ours.chunks) == without_nulls(expected)


def assert_holds(value: Any, expected: Any) -> None:
    """The value is the expected one; an expected object may lack fields, a function decides for itself."""
    if callable(expected):
        assert expected(value), value
    elif isinstance(expected, dict):
        for key, part in expected.items():
            assert_holds(value[key], part)
    elif isinstance(expected, list):
        assert len(value) == len(expected), value
        for one, part in zip(value, expected, strict=True):
            assert_holds(one, part)
    else:
        assert value == expected


def without_nulls(value: Any) -> Any:
    """The value without the fields that are null (rule 2)."""
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    return [without_nulls(part) for part in value] if isinstance(value, list) else value


def _with_extras(theirs: Any, upstream: Any) -> Any:
    """mlflow's answer with the upstream's fields that it lacks (rule 3)."""
    if theirs is None:
        return upstream
    if isinstance(theirs, dict) and isinstance(upstream, dict):
        return {**upstream, **{key: _with_extras(value, upstream.get(key)) for key, value in theirs.items()}}
    if isinstance(theirs, list) and isinstance(upstream, list) and len(theirs) == len(upstream):
        return [_with_extras(*pair) for pair in zip(theirs, upstream, strict=True)]
    return theirs


def _assert_same_error(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Rules 4, 5 and 6."""
    assert set(ours) == {"detail", "error_code", "message"}
    assert isinstance(ours["message"], str)
    if isinstance(theirs["detail"], list):
        assert all(problem["msg"] and problem["type"] for problem in ours["detail"])
        _assert_same_places(
            [_place(one) for one in ours["detail"]], [_place(one) for one in theirs["detail"]]
        )
    else:
        assert theirs["detail"] in ours["detail"]


def _place(problem: dict[str, Any]) -> list[Any]:
    """Where a problem is; of a body that is no JSON object, only that."""
    loc: list[Any] = problem["loc"]
    return loc if any(isinstance(part, str) for part in loc[1:]) else ["body"]


def _assert_same_places(ours: list[list[Any]], theirs: list[list[Any]]) -> None:
    for place in ours:
        assert any(other[: len(place)] == place for other in theirs), place
    for place in theirs:
        assert any(place[: len(other)] == other for other in ours), place
