"""`/docs` and `/openapi.json`."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.configs import ADMIN, AS_ADMIN, Json, offline
from tests.support.server import running


@pytest.fixture(scope="module")
def document(request: pytest.FixtureRequest) -> Json:
    """The OpenAPI document."""
    with request.getfixturevalue("server").client() as client:
        found: Json = client.get("/openapi.json").json()
        return found


def operations(document: Json) -> list[tuple[str, str, Json]]:
    """Every path, method and operation."""
    return [
        (path, method, found) for path, item in document["paths"].items() for method, found in item.items()
    ]


def test_the_document_is_valid(document: Json) -> None:
    """OpenAPI 3.1, as the specification's own schema has it, references and examples included."""
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_the_document_names_every_operation_once(document: Json) -> None:
    """Generators of clients make a function of each name."""
    names = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(names) == len(set(names)) > 15


def test_every_documented_address_is_there(http: httpx.Client, document: Json) -> None:
    """No operation answers that its address or its method is unknown."""
    for path, method, _ in operations(document):
        answer = http.request(method, path.replace("{name}", "chat"), json={} if method == "post" else None)
        assert answer.status_code != 405, path
        assert answer.status_code != 404 or "chat" in answer.text, path


def test_every_example_is_accepted(tmp_path: Path, document: Json) -> None:
    """What the documentation shows can be sent as it stands; here with an admin's key, to a gateway of its own."""
    endpoints = [offline(kind, kind) for kind in ("chat", "completions", "embeddings")]
    sent = set()
    with (
        running(tmp_path, {"endpoints": endpoints}, env={"GATEWAY_ADMIN_KEY": ADMIN}) as server,
        server.client(headers=AS_ADMIN) as http,
    ):
        for path, method, operation in operations(document):
            for name, example in _examples(operation).items():
                kind = next((kind for kind in ("chat", "completion", "embeddings") if kind in name), "")
                route = {"completion": "completions", "": "my-route"}.get(kind, kind)
                body = example["value"]
                if "model" in body and path.startswith("/v1/"):
                    body = {**body, "model": route}
                if operation["operationId"] == "create_endpoint":  # the same, made before by `create_route`
                    http.delete(f"{path}{body['name']}")
                answer = http.request(method, path.replace("{name}", route), json=body)
                assert answer.status_code == 200, (path, name, answer.text)
                sent.add(operation["operationId"])
    assert len(sent) >= 12
    assert sent >= {"create_route", "update_route", "set_route_limits", "create_key"}


def test_the_page_needs_nothing_from_elsewhere(http: httpx.Client) -> None:
    """No script, style or picture of another host, and a policy that would keep it away."""
    answer = http.get("/docs")

    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", answer.text)
    assert "openapi.json" in answer.text


def _examples(operation: Json) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {})
    examples: dict[str, Any] = content.get("application/json", {}).get("examples", {})
    return examples
