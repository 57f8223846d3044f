"""`docs/providers.md` tells of every provider, what it serves and what it takes."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from gateway_async.provider_config import PROVIDER_CONFIGS
from gateway_async.provider_table import ROWS
from gateway_async.providers import PROVIDERS, get_provider

PAGE = (Path(__file__).parents[2] / "docs" / "providers.md").read_text("utf-8")
ROWS_OF_PAGE = {
    name: line
    for line in PAGE.splitlines()
    if line.startswith("| `")
    for name in re.findall(r"`([\w-]+)`", line.split("|")[1])
}


def keys(settings: type[BaseModel]) -> set[str]:
    """The keys of a provider's settings, those of settings within them too."""
    found = set()
    for name, field in settings.model_fields.items():
        found.add(name)
        for inner in models_in(field.annotation):
            found |= keys(inner)
    return found


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models of settings within a field."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for argument in getattr(annotation, "__args__", ()) for model in models_in(argument)]


def test_the_page_has_the_providers_that_there_are() -> None:
    """No more and no fewer."""
    assert set(ROWS_OF_PAGE) == {*PROVIDERS, *ROWS} == set(PROVIDER_CONFIGS)


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_the_page_names_what_a_provider_takes_and_serves(name: str) -> None:
    """Each key of its settings, each type of route."""
    row = ROWS_OF_PAGE[name]
    _, _, serves, settings, *_ = row.split("|")

    assert {key for key in keys(PROVIDER_CONFIGS[name]) if f"`{key}`" not in settings} == set()
    assert set(serves.replace(" ", "").split(",")) == {
        kind.value.rpartition("/")[2] for kind in get_provider(name).route_types
    }


@pytest.mark.parametrize("name", sorted(ROWS))
def test_the_page_names_a_row_s_address_and_key(name: str) -> None:
    """As the table has them."""
    row = ROWS[name]
    _, _, address, key, embeddings, _ = ROWS_OF_PAGE[name].split("|")

    assert f"`{row.base}`" in address if row.base else "required" in address
    assert (f"`{row.key}`" in key) if row.key else not key.strip()
    assert ("yes" in embeddings) == row.embeddings
