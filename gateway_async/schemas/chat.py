"""Chat: OpenAI's chat completions as they are today, requests, answers and chunks.

Wire format: https://platform.openai.com/docs/api-reference/chat. Fields that are not listed are kept.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from gateway_async.base_models import RequestModel, ResponseModel, Several
from gateway_async.schemas.sampling import PositiveInt64, SamplingParameters
from gateway_async.schemas.usage import Usage


class TextPart(RequestModel):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageURL(RequestModel):
    """An image by its address, or as `data:{media type};base64,{data}`."""

    url: str
    detail: str | None = None
    """`auto`, `low` or `high`."""


class ImagePart(RequestModel):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageURL


class InputAudio(RequestModel):
    """Sound, base64 encoded."""

    data: str
    format: str
    """`wav` or `mp3`."""


class AudioPart(RequestModel):
    """Sound."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class FileContent(RequestModel):
    """A file: its base64 data as a `data:` address, or the id of one that was uploaded."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(RequestModel):
    """A file."""

    type: Literal["file"]
    file: FileContent


class OtherPart(RequestModel):
    """A part of a kind that this schema does not know; it is passed on."""

    type: str


def _part_kind(part: Any) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else getattr(part, "type", None)
    return kind if kind in ("text", "image_url", "input_audio", "file") else "other"


ContentPart = Annotated[
    Annotated[TextPart, Tag("text")]
    | Annotated[ImagePart, Tag("image_url")]
    | Annotated[AudioPart, Tag("input_audio")]
    | Annotated[FilePart, Tag("file")]
    | Annotated[OtherPart, Tag("other")],
    Discriminator(_part_kind),
]


class FunctionCall(RequestModel):
    """The function to call and its arguments, JSON in a string."""

    name: str
    arguments: str


class ToolCall(RequestModel):
    """A call of a tool that the model asks for."""

    id: str
    type: str = "function"
    function: FunctionCall | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Count `type` as given: what is not given is not sent, and providers want it."""
        self.model_fields_set.add("type")


class ChatMessage(RequestModel):
    """One message of a conversation."""

    role: str
    """`developer`, `system`, `user`, `assistant` or `tool`."""

    content: str | Several[ContentPart] | None = None
    name: str | None = None
    tool_calls: Several[ToolCall] | None = None
    """Calls that the assistant asked for."""

    tool_call_id: str | None = None
    """The call that a message of role `tool` answers."""

    refusal: str | None = None


class FunctionDefinition(RequestModel):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """Its arguments as a JSON schema."""

    strict: bool | None = None


class Tool(RequestModel):
    """A tool that the model may call."""

    type: str
    function: FunctionDefinition | None = None


class ChatRequest(SamplingParameters):
    """A conversation that the model continues."""

    messages: Annotated[Several[ChatMessage], Field(min_length=1)]
    tools: Several[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    """`none`, `auto`, `required`, or the one tool that must be called."""

    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    """`{"type": "json_schema", "json_schema": {…}}`, `{"type": "json_object"}` or `{"type": "text"}`."""

    reasoning_effort: str | None = None
    """`none`, `minimal`, `low`, `medium`, `high` or `xhigh`."""

    verbosity: str | None = None
    max_completion_tokens: PositiveInt64 | None = None
    logprobs: bool | int | None = None
    """Whether to tell the likelihood of each word; Together AI takes the number of alternatives here."""

    top_logprobs: int | None = None
    modalities: Several[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    service_tier: str | None = None
    store: bool | None = None


class ResponseFunction(ResponseModel):
    """The function to call and its arguments, JSON in a string."""

    name: str | None = None
    arguments: str | None = None


class ResponseToolCall(ResponseModel):
    """A call of a tool that the model asks for. In a stream, `index` says which call a piece belongs to."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: ResponseFunction | None = None


class ResponseMessage(ResponseModel):
    """What the model answers, whole or, in a stream, the next piece of it."""

    role: str | None = None
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    """The model's thoughts, where the provider shows them."""

    tool_calls: list[ResponseToolCall] | None = None
    refusal: str | None = None


class ChatChoice(ResponseModel):
    """One of the answers."""

    index: int
    message: ResponseMessage
    finish_reason: str | None = None
    """`stop`, `length`, `tool_calls` or `content_filter`."""

    logprobs: dict[str, Any] | None = None


class ChatResponse(ResponseModel):
    """The answer to a chat request."""

    id: str | None = None
    object: str = "chat.completion"
    created: int
    """Seconds since 1970."""

    model: str
    choices: list[ChatChoice]
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


class ChatChunkChoice(ResponseModel):
    """The next piece of one of the answers."""

    index: int
    delta: ResponseMessage
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class ChatChunk(ResponseModel):
    """A piece of a streamed answer. The last one may hold no choices but the usage."""

    id: str | None = None
    object: str = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
