"""Completions of providers that take one text: a list with one text is as good."""

from dataclasses import replace

import pytest

from gateway_async.errors import InvalidRequest
from tests.providers.cases import CASES

ONE_TEXT = [
    "ai21labs/completions",
    "ai21labs/completions_jamba",
    "anthropic/completions",
    "anthropic/completions_today",
    "bedrock/completions_anthropic",
    "bedrock/completions_cohere",
    "bedrock/completions_llama",
    "bedrock/completions_titan",
    "cohere/completions",
    "cohere/v1_completions",
    "gemini/completions",
    "gemini/stream_completions",
    "huggingface-text-generation-inference/completions",
    "mistral/completions",
    "palm/completions",
    "togetherai/completions",
]


@pytest.mark.parametrize("name", ONE_TEXT)
def test_a_list_of_one_text_is_the_text(name: str) -> None:
    """LangChain sends a list, whatever it asks for."""
    case = CASES[name]

    listed = replace(case, request={**case.request, "prompt": [case.request["prompt"]]})

    assert listed.sent() == case.sent()


@pytest.mark.parametrize("name", ONE_TEXT)
@pytest.mark.parametrize("prompt", [["a", "b"], [], [1], [[1]]], ids=str)
def test_anything_else_in_a_list_is_refused(name: str, prompt: list[object]) -> None:
    """Several texts would need several answers, and tokens are another vendor's."""
    case = CASES[name]

    with pytest.raises(InvalidRequest, match=r"^prompt: "):
        replace(case, request={**case.request, "prompt": prompt}).sent()
