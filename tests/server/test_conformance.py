"""The running server held to its own `/openapi.json` by schemathesis: requests made from the document, and against it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.configs import ADMIN, offline
from tests.support.server import ROOT, environment, running

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
)
"""All but two: which names and periods are good is said in words, and a route's settings may be texts (`"true"`)."""

REFUSED = "negative_data_rejection"
"""That what the document forbids is refused: where settings are no part of it."""


TAGS = {
    "calls": ("Call a route", "OpenAI's API", "Limits", "Server", "Keys"),
    "changes": ("Routes",),
}
"""Apart, so that no route that is made here is called: some would lead out of this machine."""

EXAMPLES = 4
"""For each operation, beside those at the bounds that the document names; its own examples are for `test_docs`."""


@pytest.mark.parametrize("tags", TAGS)
def test_the_server_does_what_its_document_says(tmp_path: Path, tags: str) -> None:
    """Nothing is answered with 500, nothing that the document does not have; what it forbids is refused."""
    checks = (*CHECKS, *([REFUSED] if tags == "calls" else []))
    config = {"endpoints": [offline(kind, kind) for kind in ("chat", "completions", "embeddings")]}
    with running(tmp_path, config, env={"GATEWAY_ADMIN_KEY": ADMIN}) as server:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
                *("--header", f"Authorization: Bearer {ADMIN}", "--checks", ",".join(checks)),
                *(part for tag in TAGS[tags] for part in ("--include-tag", tag)),
                *("--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES)),
                *("--seed", "1", "--no-shrink", "--warnings", "off", "--request-timeout", "30"),
            ],
            cwd=tmp_path,
            env=environment({"PYTHONPATH": str(ROOT)}),
            capture_output=True,
            text=True,
            timeout=110,
        )
        log = server.log

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Traceback" not in log, log[-3000:]
    assert ADMIN not in log
