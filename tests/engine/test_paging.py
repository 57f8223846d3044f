"""Pages, and the tokens that name them."""

import base64
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_async import PagedList
from gateway_async.errors import BadRequest
from gateway_async.paging import decode_token, encode_token


@given(index=st.integers(min_value=0, max_value=10**30))
def test_a_token_is_the_index_in_base64(index: int) -> None:
    """As mlflow writes and reads it."""
    token = encode_token(index)

    assert json.loads(base64.b64decode(token)) == {"index": index}
    assert decode_token(token) == index


def token_of(value: Any) -> str:
    """A token that holds something."""
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "====",
        "not base64!",
        "é",
        "\ud800",
        base64.b64encode(b"\xff").decode(),
        base64.b64encode(b"[" * 100_000).decode(),
        base64.b64encode(b'{"index": ' + b"9" * 5000 + b"}").decode(),
        *map(token_of, [None, 5, "index", [], {}, {"index": None}, {"index": "1"}, {"index": 1.5}, {"index": True}]),
        token_of({"index": [1]}),
        token_of({"Index": 1}),
    ],
)  # fmt: skip
def test_another_token_is_refused(token: str) -> None:
    """The error says where one comes from."""
    with pytest.raises(BadRequest, match="take next_page_token of the page before"):
        decode_token(token)


@given(token=st.text(max_size=40))
def test_no_text_makes_the_reader_fail(token: str) -> None:
    """An index comes out, or the refusal."""
    try:
        assert decode_token(token) >= 0
    except BadRequest as refused:
        assert refused.status == 400  # noqa: PT017 - either may happen


def test_a_negative_index_is_refused() -> None:
    """It would count from the end."""
    with pytest.raises(BadRequest, match="negative"):
        decode_token(token_of({"index": -1}))


def test_a_page_is_a_list_with_a_token() -> None:
    """Everything that a list can, and the way to the next page."""
    page = PagedList([1, 2], token="t")

    assert (page == [1, 2], page[0], len(page), page.token) == (True, 1, 2, "t")
    assert PagedList().token is None
    assert type(page.to_list()) is list
    assert pickle.loads(pickle.dumps(page)).token == "t"
