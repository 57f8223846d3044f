"""Bedrock's types: botocore's model of the service, and the forms that InvokeModel passes on to the models.

The model of the service does not know what stands in the body of InvokeModel; the vendors' pages in AWS's guide do:
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html.
"""

import base64
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Required
from urllib.parse import unquote, urlsplit

from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape
from botocore.session import Session
from botocore.validate import ParamValidator
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from tests.providers.published._strict import strict

Json = dict[str, Any]

ADDS = (
    *("additionalModelResponseFields", "bedrock_blocks", "citations", "metrics", "performanceConfig"),
    *("serviceTier", "thinking_blocks", "trace"),
)
"""Thoughts with their signatures, what OpenAI's answers have no place for, and what Bedrock tells of a call."""

OPERATIONS: Mapping[str, str] = {
    "converse": "Converse",
    "converse-stream": "ConverseStream",
    "invoke": "InvokeModel",
    "invoke-with-response-stream": "InvokeModelWithResponseStream",
}


# --- the service --------------------------------------------------------------------------------------------------


@cache
def operation(name: str) -> OperationModel:
    """An operation as botocore describes it."""
    return Session().get_service_model("bedrock-runtime").operation_model(name)


def _struct(shape: Shape | None) -> StructureShape:
    assert isinstance(shape, StructureShape)
    return shape


def conform(shape: Shape, value: Any, at: str = "") -> None:
    """Accept JSON that is of a shape, without a member that the shape does not know."""
    if isinstance(shape, StructureShape):
        if getattr(shape, "is_document_type", False):
            return
        assert isinstance(value, dict), at
        assert value.keys() <= shape.members.keys(), (at, sorted(value))
        assert set(shape.required_members) <= value.keys(), (at, sorted(value))
        assert not getattr(shape, "is_tagged_union", False) or len(value) == 1, (at, sorted(value))
        for name, part in value.items():
            conform(shape.members[name], part, f"{at}.{name}")
    elif isinstance(shape, ListShape):
        assert isinstance(value, list), at
        for part in value:
            conform(shape.member, part, f"{at}[]")
    elif isinstance(shape, MapShape):
        assert isinstance(value, dict), at
        for part in value.values():
            conform(shape.value, part, f"{at}{{}}")
    else:
        _conform_simple(shape, value, at)


_SIMPLE: Mapping[str, tuple[type, ...]] = {
    "blob": (str,),
    "boolean": (bool,),
    "double": (int, float),
    "float": (int, float),
    "integer": (int,),
    "long": (int,),
    "string": (str,),
}


def _conform_simple(shape: Shape, value: Any, at: str) -> None:
    assert isinstance(value, _SIMPLE[shape.type_name]), at
    assert shape.type_name == "boolean" or not isinstance(value, bool), at
    if shape.type_name == "blob":
        base64.b64decode(str(value), validate=True)
    if isinstance(shape, StringShape) and shape.enum:
        assert value in shape.enum, (at, value)
    if "max" in shape.metadata and isinstance(value, int | float):
        assert value <= shape.metadata["max"], (at, value)
    if "pattern" in shape.metadata and shape.type_name == "string":
        assert re.fullmatch(shape.metadata["pattern"], value), (at, value)


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes."""
    name, model = _place(url)
    shape = _struct(operation(name).input_shape)
    conform(shape.members["modelId"], model, "modelId")
    if name.startswith("Converse"):
        params = {"modelId": model, **body}
        conform(shape, params)
        problems = ParamValidator().validate(params, shape)
        assert not problems.has_errors(), problems.generate_report()
    else:
        _form(kind, model)[0].validate_python(body, strict=True)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the API may give."""
    name, model = _place(url)
    if name == "Converse":
        conform(_struct(operation(name).output_shape), json.loads(body))
    else:
        _form(kind, model)[1].validate_json(body, strict=True)


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error."""
    value = json.loads(body)
    if value.keys() == {"Message"}:  # from before the operation: the signature, the account
        assert status == 403
        return
    known = operation("InvokeModelWithResponseStream").error_shapes
    fitting = [shape for shape in known if _fits(shape, value)]
    assert status in {shape.metadata["error"]["httpStatusCode"] for shape in fitting}


def check_event(kind: str, url: str, data: Json) -> None:
    """Accept the payload of one message of a stream; `p` pads it."""
    name, model = _place(url)
    value = {key: part for key, part in data.items() if key != "p"}
    members = _struct(operation(name).output_shape).members
    shapes = _struct(members["stream" if name == "ConverseStream" else "body"]).members
    fitting = [event for event, shape in shapes.items() if _fits(shape, value)]
    assert fitting, data
    if fitting == ["chunk"]:
        _form(kind, model)[2].validate_json(base64.b64decode(value["bytes"]), strict=True)


def _fits(shape: Shape, value: Any) -> bool:
    try:
        conform(shape, value)
    except AssertionError:
        return False
    return True


def _place(url: str) -> tuple[str, str]:
    """The operation and the model that an address names."""
    *_, model, path = urlsplit(url).path.split("/")
    return OPERATIONS[path], unquote(model)


# --- the models ---------------------------------------------------------------------------------------------------


class Metrics(TypedDict):
    """What a call took."""

    inputTokenCount: int
    outputTokenCount: int
    invocationLatency: int
    firstByteLatency: int


Measured = TypedDict("Measured", {"amazon-bedrock-invocationMetrics": Metrics}, total=False)
"""The last piece of a stream. …/bedrock/latest/userguide/inference-invoke.html shows a whole one."""


class ClaudeParams(TypedDict, total=False):
    """…/model-parameters-anthropic-claude-text-completion.html."""

    prompt: Required[str]
    max_tokens_to_sample: Required[int]
    temperature: float
    top_p: float
    top_k: int
    stop_sequences: list[str]


class ClaudeCompletion(Measured, total=False):
    """The same page; `type` is there though the page does not list it."""

    type: Literal["completion"]
    completion: Required[str]
    stop_reason: Required[Literal["stop_sequence", "max_tokens"] | None]
    stop: str | None


class TitanConfig(TypedDict, total=False):
    """…/model-parameters-titan-text.html."""

    temperature: float
    topP: float
    maxTokenCount: int
    stopSequences: list[str]


class TitanParams(TypedDict, total=False):
    """The same page."""

    inputText: Required[str]
    textGenerationConfig: TitanConfig


TitanReason = Literal["FINISH", "FINISHED", "LENGTH", "STOP_CRITERIA_MET", "CONTENT_FILTERED"]


class TitanResult(TypedDict):
    """The same page."""

    tokenCount: int
    outputText: str
    completionReason: TitanReason


class TitanAnswer(TypedDict):
    """The same page."""

    inputTextTokenCount: int
    results: list[TitanResult]


class TitanPiece(Measured, total=False):
    """The same page."""

    index: Required[int]
    inputTextTokenCount: int | None
    totalOutputTextTokenCount: int | None
    outputText: Required[str]
    completionReason: Required[TitanReason | None]


class Penalty(TypedDict):
    """…/model-parameters-jurassic2.html."""

    scale: float


class JurassicParams(TypedDict, total=False):
    """The same page; `numResults` is AI21's own, which the page leaves out."""

    prompt: Required[str]
    temperature: float
    topP: float
    maxTokens: int
    stopSequences: list[str]
    numResults: int
    countPenalty: Penalty
    presencePenalty: Penalty
    frequencyPenalty: Penalty


class JurassicText(TypedDict):
    """The same page."""

    text: str
    tokens: list[Json]


class JurassicReason(TypedDict, total=False):
    """The same page."""

    reason: Required[Literal["endoftext", "length", "stop"]]
    length: int
    sequence: str


class JurassicCompletion(TypedDict):
    """The same page."""

    data: JurassicText
    finishReason: JurassicReason


class JurassicAnswer(TypedDict):
    """The same page."""

    id: int | str
    prompt: JurassicText
    completions: list[JurassicCompletion]


class CommandParams(TypedDict, total=False):
    """…/model-parameters-cohere-command.html."""

    prompt: Required[str]
    temperature: float
    p: float
    k: float
    max_tokens: int
    stop_sequences: list[str]
    return_likelihoods: Literal["GENERATION", "ALL", "NONE"]
    stream: bool
    num_generations: int
    logit_bias: dict[str, float]
    truncate: Literal["NONE", "START", "END"]


CommandReason = Literal["COMPLETE", "MAX_TOKENS", "ERROR", "ERROR_TOXIC"]


class Generation(TypedDict, total=False):
    """The same page."""

    id: Required[str]
    text: Required[str]
    finish_reason: CommandReason
    likelihood: float
    token_likelihoods: list[Json]
    is_finished: bool
    index: int


class CommandAnswer(TypedDict):
    """The same page."""

    id: str
    generations: list[Generation]
    prompt: str


class CommandPiece(Measured, total=False):
    """The same page."""

    text: str
    index: int
    is_finished: Required[bool]
    finish_reason: CommandReason


class TitanEmbedParams(TypedDict, total=False):
    """…/model-parameters-titan-embed-text.html."""

    inputText: Required[str]
    dimensions: int
    normalize: bool
    embeddingTypes: list[Literal["float", "binary"]]


class TitanEmbedding(TypedDict, total=False):
    """The same page."""

    embedding: list[float]
    inputTextTokenCount: Required[int]
    embeddingsByType: dict[str, list[float]]


class TitanImageConfig(TypedDict):
    """…/model-parameters-titan-embed-mm.html."""

    outputEmbeddingLength: Literal[256, 384, 1024]


class TitanImageParams(TypedDict, total=False):
    """The same page."""

    inputText: str
    inputImage: str
    embeddingConfig: TitanImageConfig


class TitanImageEmbedding(TypedDict):
    """The same page."""

    embedding: list[float]
    inputTextTokenCount: int
    message: str | None


CohereKind = Literal["float", "int8", "uint8", "binary", "ubinary"]


class CohereEmbedParams(TypedDict, total=False):
    """…/model-parameters-embed-v3.html and …/model-parameters-embed-v4.html."""

    texts: Required[list[str]]
    input_type: Required[Literal["search_document", "search_query", "classification", "clustering", "image"]]
    truncate: Literal["NONE", "START", "END", "LEFT", "RIGHT"]
    embedding_types: list[CohereKind]
    output_dimension: int
    max_tokens: int


class CohereEmbeddings(TypedDict, total=False):
    """The same pages."""

    id: Required[str]
    response_type: Required[Literal["embeddings_floats", "embeddings_by_type"]]
    embeddings: Required[list[list[float]] | dict[CohereKind, list[list[float]]]]
    texts: list[str]


Form = tuple[TypeAdapter[Any], ...]


class Never(TypedDict):
    """What is not there."""

    never: str


_NEVER = strict(Never)
_FORMS: Mapping[tuple[str, str], Form] = {
    ("completions", "anthropic.claude"): (
        strict(ClaudeParams),
        strict(ClaudeCompletion),
        strict(ClaudeCompletion),
    ),
    ("completions", "amazon.titan"): (strict(TitanParams), strict(TitanAnswer), strict(TitanPiece)),
    ("completions", "ai21.j2"): (strict(JurassicParams), strict(JurassicAnswer), _NEVER),
    ("completions", "cohere.command"): (strict(CommandParams), strict(CommandAnswer), strict(CommandPiece)),
    ("embeddings", "amazon.titan-embed-image"): (
        strict(TitanImageParams),
        strict(TitanImageEmbedding),
        _NEVER,
    ),
    ("embeddings", "amazon.titan-embed"): (strict(TitanEmbedParams), strict(TitanEmbedding), _NEVER),
    ("embeddings", "cohere.embed"): (strict(CohereEmbedParams), strict(CohereEmbeddings), _NEVER),
}
"""Type of the route and the beginning of the model's id → what it takes, what it answers, a piece of its stream."""


def _form(kind: str, model: str) -> Form:
    of_kind = {name: form for (route, name), form in _FORMS.items() if route == kind.rpartition("/")[2]}
    return next(form for name, form in of_kind.items() if name in model)
