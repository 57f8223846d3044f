"""What Cohere's two APIs have in common: errors, reasons, tokens, vectors.

https://docs.cohere.com/reference/errors; an error's body is `{"message"}`.
"""

from typing import Any

from gateway_async.errors import InvalidRequest, UnsupportedParameter, UpstreamError
from gateway_async.providers._adapter import JsonAdapter
from gateway_async.providers._answers import count_of, embedding_list, token_usage
from gateway_async.providers._base import Json, UpstreamResponse
from gateway_async.providers._errors import reported_error, upstream_error
from gateway_async.providers._requests import texts_of

NAME, VENDOR = "cohere", "Cohere"

_BLOCKED = 498
"""The status of a request that breaks Cohere's usage guidelines."""

_FINISH = {
    "COMPLETE": "stop",
    "ERROR_LIMIT": "length",
    "ERROR_TOXIC": "content_filter",
    "MAX_TOKENS": "length",
    "STOP_SEQUENCE": "stop",
    "TOOL_CALL": "tool_calls",
}
_FAILED = ("ERROR", "TIMEOUT", "USER_CANCEL")


class CohereAdapter(JsonAdapter):
    """An adapter with Cohere's errors."""

    __slots__ = ()

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error; what its guidelines forbid is the caller's."""
        if response.status == _BLOCKED:
            return upstream_error(NAME, response, status=400, refusal="content_policy")
        return upstream_error(NAME, response)


def finish_reason(reason: str | None, said: str | None = None) -> str:
    """Why an answer ends, in OpenAI's words.

    Args:
        reason: Cohere's word for it.
        said: What Cohere says beside it, where it failed.

    Raises:
        UpstreamError: The answer ends because Cohere failed.
    """
    if reason in _FAILED:
        said = said or f"the answer ended with {reason}"
        raise reported_error(NAME, {"message": said, "type": reason})
    return _FINISH.get(reason or "", "stop")


def usage(told: Any) -> Json | None:
    """The tokens of a call; None where Cohere does not count them.

    Args:
        told: `usage` of v2, or `meta` of v1.
    """
    counts = (told.get("tokens") or told.get("billed_units")) if isinstance(told, dict) else None
    if not counts or "output_tokens" not in counts:
        return None
    return token_usage(counts.get("input_tokens"), counts["output_tokens"], cached=told.get("cached_tokens"))


def response_format(form: Json, name: str) -> Json:
    """Cohere's form of a `response_format`: a JSON schema is JSON, with the schema beside it.

    Args:
        form: OpenAI's form, or Cohere's own.
        name: Cohere's name for the schema.

    Raises:
        UnsupportedParameter: It is neither.
    """
    kind = form.get("type")
    if kind == "json_schema" and isinstance(named := form.get("json_schema"), dict):
        schema = named.get("schema")
        return {"type": "json_object", **({name: schema} if schema else {})}
    if kind not in ("text", "json_object"):
        raise UnsupportedParameter.field(
            "response_format", f"{VENDOR} takes 'text', 'json_object' or 'json_schema', with the schema given"
        )
    return form


def check_embedding(data: Json) -> None:
    """Accept a request for vectors that the standard answer can hold: of texts, and one for each.

    Raises:
        InvalidRequest: It is for something else.
    """
    texts_of(data, VENDOR)
    kinds = data.get("embedding_types", ["float"])
    if not isinstance(kinds, list) or len(kinds) != 1 or kinds == ["base64"]:
        raise InvalidRequest.field(
            "embedding_types", "one type of numbers is expected; 'encoding_format' says whether in base64"
        )


def vectors(value: Json, data: Json, model: str) -> Json:
    """The answer to a request for vectors.

    Raises:
        KeyError: And the others of `MALFORMED`: it is not what the API promises.
    """
    found = value["embeddings"]
    if isinstance(found, dict):
        (found,) = (rows for rows in found.values() if rows is not None)
    if not isinstance(found, list):
        raise TypeError("a list is expected")
    meta = value.get("meta")
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    used = count_of(billed["input_tokens"]) if billed and "input_tokens" in billed else None
    return embedding_list(model, found, used, encoding=data.get("encoding_format"))
