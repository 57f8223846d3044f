"""Pages of a listing, and the tokens that name them."""

import base64
import binascii
import json
from collections.abc import Iterable
from typing import TypeVar

from gateway_async.errors import BadRequest

T = TypeVar("T")


class PagedList(list[T]):
    """A page: a list with the token of the page after it.

    Attributes:
        token: To pass as `page_token` for the next page; None on the last.
    """

    def __init__(self, items: Iterable[T] = (), token: str | None = None) -> None:
        super().__init__(items)
        self.token = token

    def to_list(self) -> list[T]:
        """The items as a plain list."""
        return list(self)


def encode_token(index: int) -> str:
    """The token of the page that begins at an index."""
    return base64.b64encode(json.dumps({"index": index}).encode()).decode()


def decode_token(token: str) -> int:
    """The index at which a page begins.

    Raises:
        BadRequest: The token is none of ours.
    """
    try:
        index = json.loads(base64.b64decode(token, validate=True))["index"]
    except (binascii.Error, ValueError, TypeError, KeyError, RecursionError):
        index = None
    if not isinstance(index, int) or isinstance(index, bool):
        raise BadRequest("page_token is not a token of this gateway; take next_page_token of the page before")
    if index < 0:
        raise BadRequest("page_token holds a negative index")
    return index
