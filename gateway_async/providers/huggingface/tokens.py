"""The tokens of Text Generation Inference, with how likely each was: what a completion of OpenAI's tells as `logprobs`.

https://github.com/huggingface/text-generation-inference/blob/main/docs/openapi.json (Token, Details, StreamResponse).
"""

from collections.abc import Sequence

from gateway_async.providers._answers import text_of
from gateway_async.providers._base import Json


def token_text(token: Json) -> str:
    """What a token adds to the text: a special one, such as the end's, nothing."""
    return "" if token["special"] else text_of(token["text"])


def likelihoods(tokens: Sequence[Json], alternatives: Sequence[Sequence[Json]], *, start: int = 0) -> Json:
    """The tokens of a text, how likely each was, and what else could have stood there.

    Args:
        tokens: The tokens; special ones are no part of the text and left out.
        alternatives: The likeliest for each token; none where they were not asked for.
        start: Where in the text the first one stands.
    """
    offsets, at = [], start
    shown = [token for token in tokens if not token["special"]]
    for token in shown:
        offsets.append(at)
        at += len(token_text(token))
    tops = [top for token, top in zip(tokens, alternatives, strict=False) if not token["special"]]
    return {
        "tokens": [token["text"] for token in shown],
        "token_logprobs": [token["logprob"] for token in shown],
        "top_logprobs": [{one["text"]: one["logprob"] for one in top} for top in tops] or None,
        "text_offset": offsets,
    }
