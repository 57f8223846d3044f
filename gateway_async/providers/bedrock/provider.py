"""Amazon Bedrock: Converse for chat, InvokeModel for completions of the older models and for embeddings.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html. Who made a model
stands in its id: `anthropic.claude-v2`, behind a region in that of an inference profile (`us.anthropic.…`), or at the end
of an ARN.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway_async.config import AmazonBedrockConfig, Model, RouteType
from gateway_async.credentials.aws import Signer
from gateway_async.errors import ConfigError
from gateway_async.providers._base import Adapter
from gateway_async.providers._completions import completions_by_chat
from gateway_async.providers._requests import join_url, path_part
from gateway_async.providers.bedrock.adapter import VENDOR, BedrockAdapter
from gateway_async.providers.bedrock.converse import ConverseAdapter
from gateway_async.providers.bedrock.embeddings import CohereEmbeddings, TitanEmbeddings
from gateway_async.providers.bedrock.invoke import APIS, InvokeAdapter

_CHATS_ONLY: Mapping[str, re.Pattern[str]] = {
    "ai21": re.compile(r"jamba"),
    "amazon": re.compile(r"nova"),
    "anthropic": re.compile(r"claude-([3-9]|[a-z]+-\d)"),
    "cohere": re.compile(r"command-[ar]"),
}
"""Models that have no older API, by vendor. Their completions are chats of one message."""

_EMBEDDINGS: Mapping[tuple[str, str], type[BedrockAdapter]] = {
    ("amazon", "titan"): TitanEmbeddings,
    ("cohere", "embed"): CohereEmbeddings,
}
"""Who made a model and how its name begins → the form of its embeddings."""

_EMBEDDERS = " and ".join(map(".".join, _EMBEDDINGS))

_OPERATIONS: Mapping[bool, tuple[str, str]] = {
    True: ("converse", "converse-stream"),
    False: ("invoke", "invoke-with-response-stream"),
}


class Bedrock:
    """The provider `bedrock`, which is `amazon-bedrock` too."""

    route_types = frozenset(RouteType)

    def __init__(self, name: str) -> None:
        self.name = name

    def bind(self, model: Model, kind: RouteType) -> Adapter:
        """The adapter for one model.

        Raises:
            ConfigError: The extra is not installed, no region is named, or the model has no embeddings.
        """
        config = model.config
        assert isinstance(config, AmazonBedrockConfig)
        name = model.name or ""
        vendor, its_name = maker(name)
        signer = Signer(self.name, config.aws_config)
        base = _signable(config.bedrock_api_base or signer.endpoint("bedrock-runtime"))

        def made(what: type[BedrockAdapter], *, converse: bool, **more: Any) -> BedrockAdapter:
            whole, streamed = (
                join_url(base, "model", path_part(name, safe=""), operation)
                for operation in _OPERATIONS[converse]
            )
            headers = {"Content-Type": "application/json"} | (
                {} if converse else {"Accept": "application/json"}
            )
            return what(self.name, whole, headers, name, streamed, signer=signer, **more)

        if kind is RouteType.LLM_V1_EMBEDDINGS:
            return made(_embeddings(vendor, its_name), converse=False)
        if (
            kind is RouteType.LLM_V1_COMPLETIONS
            and vendor in APIS
            and not _CHATS_ONLY[vendor].match(its_name)
        ):
            return made(InvokeAdapter, converse=False, api=APIS[vendor])
        chat = made(ConverseAdapter, converse=True)
        return chat if kind is RouteType.LLM_V1_CHAT else completions_by_chat(chat, VENDOR)


def maker(model: str) -> tuple[str, str]:
    """Who made a model and what he calls it; the first is empty where the id does not tell."""
    vendor, *rest = model.rpartition("/")[2].split(".")
    if vendor not in APIS and rest and rest[0] in APIS:
        vendor, *rest = rest  # what stood first is the region of an inference profile
    return (vendor, ".".join(rest)) if vendor in APIS and rest else ("", model)


def _embeddings(vendor: str, model: str) -> type[BedrockAdapter]:
    for (maker_of_some, beginning), form in _EMBEDDINGS.items():
        if vendor == maker_of_some and model.startswith(beginning):
            return form
    raise ConfigError(f"the embeddings of {model!r} have no known form; those of {_EMBEDDERS} do")


def _signable(base: str) -> str:
    """The base address with its host as a signature has it: in small letters, without the scheme's own port."""
    parts = urlsplit(base)
    own = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=user + at + host.lower().removesuffix(own)).geturl()


provider = Bedrock("bedrock")
amazon_bedrock = Bedrock("amazon-bedrock")
