"""Routes with several destinations, over real sockets."""

from typing import Any

import orjson

from gateway_async.call import Answer, StreamAnswer
from gateway_async.config_file import load_config
from gateway_async.errors import GatewayError
from gateway_async.gateway import Gateway
from tests.support.configs import HELLO
from tests.support.upstream import MockUpstream

Json = dict[str, Any]


def key(place: int) -> str:
    """The key of the destination at this place; it must show nowhere but there."""
    return f"sk-canary-{place}-91c4d7e2"


def model(place: int, url: str) -> Json:
    """A model named `m` and its place, spoken to as to OpenAI."""
    config = {"openai_api_key": key(place), "openai_api_base": f"{url}/v1"}
    return {"provider": "openai", "name": f"m{place}", "config": config}


def claude(place: int, url: str) -> Json:
    """The same, spoken to as to Anthropic."""
    config = {"anthropic_api_key": key(place), "anthropic_api_base": f"{url}/v1"}
    return {"provider": "anthropic", "name": f"m{place}", "config": config}


def in_order(*models: Json, kind: str = "chat", **more: Any) -> Json:
    """A route that asks these in this order, each when those before can't answer."""
    destinations = [{"model": each, "priority": place} for place, each in enumerate(models, 1)]
    return {"name": "route", "endpoint_type": f"llm/v1/{kind}", "destinations": destinations, **more}


def through(*upstreams: MockUpstream | str, **more: Any) -> Json:
    """A route through these in this order: mock upstreams, or addresses."""
    urls = [each if isinstance(each, str) else each.url for each in upstreams]
    return in_order(*(model(place, url) for place, url in enumerate(urls)), **more)


def gateway_of(*routes: Json) -> Gateway:
    """A gateway with these routes."""
    return Gateway(load_config({"endpoints": list(routes)}))


async def ask(gateway: Gateway, data: Json = HELLO, *, timeout: float | None = None, **more: Any) -> Answer:
    """The whole answer to one call."""
    answer = await gateway.handle(gateway.find("route"), {**data, **more}, timeout=timeout)
    assert isinstance(answer, Answer)
    return answer


async def open_stream(gateway: Gateway, *, timeout: float | None = None, **more: Any) -> StreamAnswer:
    """A stream, whose first chunk is there."""
    data = {**HELLO, "stream": True, **more}
    answer = await gateway.handle(gateway.find("route"), data, timeout=timeout)
    assert not isinstance(answer, Answer)
    return answer


async def read_text(answer: StreamAnswer) -> str:
    """The text of a stream."""
    text = ""
    try:
        async for batch in answer:
            for chunk in map(orjson.loads, batch):
                for choice in chunk["choices"]:
                    text += choice["delta"].get("content") or ""
    finally:
        await answer.aclose()
    return text


def text_of(answer: Answer) -> str:
    """The text of a whole chat."""
    return str(orjson.loads(answer.body)["choices"][0]["message"]["content"])


def told(about: Answer | StreamAnswer | GatewayError) -> tuple[str, int]:
    """Which destination an answer or an error is from, and how many attempts there were."""
    headers = dict(about.headers)
    assert len(headers) == len(about.headers)
    assert headers["x-gateway-route"] == "route"
    return headers["x-gateway-destination"], int(headers["x-gateway-attempts"])


def asked(*upstreams: MockUpstream) -> list[int]:
    """How many requests came to each."""
    return [len(each.received) for each in upstreams]
