"""Who may import whom: the drawing of the design, kept by reading the source."""

import sys
from collections.abc import Mapping

import pytest

from tests.architecture.modules import Module, modules

MAY_IMPORT: Mapping[str, str] = {
    # Nothing of ours.
    "base_models": "",
    "errors": "",
    "http1": "",
    "secrets": "",
    "sse": "",
    "streaming": "",
    "tasks": "",
    "tokens": "",
    "provider_table": "",
    # Values and how they are checked.
    "schemas": "base_models",
    "paging": "errors",
    "wire": "errors",
    "plugins": "base_models",
    "setting_types": "secrets",
    "provider_config": "base_models provider_table secrets setting_types",
    "limit_config": "base_models",
    "server_config": "base_models setting_types traffic_config",
    "traffic_config": "base_models",
    "provider_names": "base_models plugins provider_config secrets",
    "model_config": "base_models provider_config provider_names",
    "config": "base_models limit_config model_config provider_config provider_names server_config traffic_config",
    "zero_config": "provider_table",
    "config_file": "base_models config errors plugins provider_names zero_config",
    "validation": "base_models config errors schemas",
    "credentials": "errors provider_config",
    # What is kept.
    "stores": "base_models errors",
    "audit": "call stores",
    "keys": "audit call config errors server_config stores tasks validation",
    # The engine.
    "call": "config tokens",
    "providers": "call config credentials errors plugins provider_table schemas secrets sse",
    "provider": "base_models call config errors providers setting_types",
    "policies": "call config errors limit_config stores tokens traffic_config",
    "network_guard": "config errors",
    "upstream": "config errors http1 network_guard providers",
    "upstream_proxy": "config errors http1 providers upstream",
    "provider_call": "call errors providers secrets upstream",
    "gateway": (
        "call config errors network_guard policies provider_call provider_names providers secrets stores tokens "
        "upstream validation"
    ),
    "live": (
        "audit base_models call config config_file errors gateway limit_config network_guard provider_config "
        "provider_names secrets server_config setting_types stores tasks validation"
    ),
    "local": "call config errors live paging streaming validation wire",
    # The client.
    "address": "errors",
    "error_responses": "errors",
    "retries": "errors",
    "transport": "address credentials error_responses errors retries sse streaming wire",
    "gateway_calls": "streaming",
    "payloads": "errors",
    "client": "address config error_responses errors gateway_calls paging payloads schemas streaming",
    "fluent": "address client config streaming",
    "": "client config errors fluent paging schemas streaming",
}
"""Part of `gateway_async` (a module, or a folder with all in it) → the parts that it may import, beside itself."""

LATER: Mapping[str, str] = {
    "client": "config_file local transport",  # the engine only where a client is `local`; httpx only where it is not
    "upstream": "upstream_proxy",  # aiohttp for those who have a proxy
}
"""Part → the parts that it may import within a function, because not every user has or pays for what they need."""

ONLY_IN: Mapping[str, set[str]] = {
    "aiohttp": {"gateway_async.upstream_proxy"},
    "aiohappyeyeballs": {"gateway_async.http1.pool"},
    "aiosqlite": {"gateway_async.stores.sql.sqlite"},
    "asyncpg": {"gateway_async.stores.sql.postgres"},
    "botocore": {"gateway_async.credentials.aws", "gateway_async.providers.bedrock.events"},
    "cryptography": {"gateway_async.live.vault"},
    "databricks": {"gateway_async.credentials.databricks"},
    "google": {"gateway_async.credentials.google"},
    "httptools": {"gateway_async.http1.connection", "gateway_server.connection"},
    "httpx": {"gateway_async.transport"},
    "limits": {"gateway_async.stores.redis_pipeline"},
    "platformdirs": {"gateway_async.stores.places"},
    "redis": {"gateway_async.stores.redis", "gateway_async.stores.redis_pipeline"},
    "rich": {f"gateway_server.cli.{name}" for name in ("main", "keys", "routes", "console")},
    "tenacity": {"gateway_async.policies.tries", "gateway_async.retries"},
    "typer": {f"gateway_server.cli.{name}" for name in ("main", "keys", "routes", "store", "console")},
    "typing_extensions": {"gateway_async.validation"},
    "uvicorn": {f"gateway_server.{name}" for name in ("connection", "process", "serving", "slow")},
    "uvloop": {"gateway_sync._loop"},
    "watchfiles": {"gateway_server.reload"},
    "yaml": {"gateway_async.config_file", "gateway_server.cli.routes"},
}
"""Package of somebody else's → the modules that import it. So much must be changed when it is replaced."""

ONLY_UNDER: Mapping[str, str] = {
    "alembic": "gateway_async.stores.sql",
    "sqlalchemy": "gateway_async.stores.sql",
}
"""Package of somebody else's → the folder whose modules alone import it."""

ANYWHERE = {"anyio", "orjson", "pydantic", "pydantic_core", "starlette"}
"""Packages that are part of how we write; where they may not be, other tests say."""

BASE = {"anyio", "httpx", "pydantic", "pydantic_core", "tenacity"}
"""What a client has installed."""

NEEDS_AN_EXTRA = {
    *(
        "audit",
        "call",
        "config_file",
        "gateway",
        "http1",
        "keys",
        "live",
        "local",
        "policies",
        "provider",
        "provider_call",
        "providers",
        "stores",
        "upstream",
        "upstream_proxy",
    ),
    *("validation", "zero_config"),
}
"""The parts of `gateway_async` that the extra `local` is for."""


ALSO_FROM: Mapping[str, set[str]] = {
    "vertex_ai.claude": {"anthropic.answer", "anthropic.request", "anthropic.stream"},
}
"""Provider's module → modules of another provider that it may import: Vertex AI serves Claude in Anthropic's format."""


def part_of(name: str) -> str:
    """`gateway_async.providers.openai` → `providers`."""
    return name.removeprefix("gateway_async").lstrip(".").split(".")[0]


def ours(names: set[str], package: str) -> set[str]:
    """The names that are in a package of ours."""
    return {name for name in names if name.split(".")[0] == package}


def theirs(module: Module) -> set[str]:
    """The packages of others that a module imports, at any time."""
    names = {name.split(".")[0] for name in module.imports | module.lazy}
    return {name for name in names if not name.startswith("gateway_") and name not in sys.stdlib_module_names}


def in_package(package: str) -> list[Module]:
    """The modules of a package."""
    return [module for name, module in modules().items() if name.split(".")[0] == package]


def test_the_source_is_read() -> None:
    """A reader that finds nothing would find nothing wrong."""
    client = modules()["gateway_async.client"]

    assert "gateway_async.errors" in client.imports
    assert "gateway_async.transport" in client.lazy
    assert "httpx" in client.typing
    assert len(modules()) > 60


def test_every_part_has_its_rule() -> None:
    """A new one gets a line in the table here, and whoever adds it thinks about its place."""
    assert {part_of(module.name) for module in in_package("gateway_async")} - MAY_IMPORT.keys() == set()


@pytest.mark.parametrize("module", in_package("gateway_async"), ids=lambda module: module.name)
def test_a_module_imports_only_what_its_part_may(module: Module) -> None:
    """The layers of the design: values below, the engine and the client side by side on them."""
    part = part_of(module.name)
    now = {part_of(name) for name in ours(module.imports, "gateway_async")} - {part}
    later = {part_of(name) for name in ours(module.lazy, "gateway_async")} - {part}

    assert now - set(MAY_IMPORT[part].split()) == set()
    assert later - set(LATER.get(part, "").split()) - set(MAY_IMPORT[part].split()) == set()


def test_nobody_imports_in_a_circle() -> None:
    """Not even through others."""
    graph = {
        name: {each for each in module.imports if each in modules()} for name, module in modules().items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join([*path, name])
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("package", sorted(ONLY_IN))
def test_a_foreign_package_is_imported_in_one_place(package: str) -> None:
    """And there it still is, or the rule is out of date."""
    assert {name for name, module in modules().items() if package in theirs(module)} == ONLY_IN[package]


@pytest.mark.parametrize("package", sorted(ONLY_UNDER))
def test_a_foreign_package_is_imported_under_one_folder(package: str) -> None:
    """And there it still is, or the rule is out of date."""
    users = {name for name, module in modules().items() if package in theirs(module)}

    assert users
    assert [name for name in users if not name.startswith(f"{ONLY_UNDER[package]}.")] == []


def test_every_foreign_package_is_known_here() -> None:
    """A new dependency gets a line in the tables here."""
    found = {package for module in modules().values() for package in theirs(module)}

    assert found - ONLY_IN.keys() - ONLY_UNDER.keys() - ANYWHERE == set()


@pytest.mark.parametrize("module", in_package("gateway_async"), ids=lambda module: module.name)
def test_a_client_needs_no_extra(module: Module) -> None:
    """What is not the engine's imports, when it is imported, only what every user has."""
    now = {name.split(".")[0] for name in module.imports} - set(sys.stdlib_module_names)
    foreign = {name for name in now if not name.startswith("gateway_")}

    if part_of(module.name) not in NEEDS_AN_EXTRA:
        assert foreign - BASE == set()


def test_a_provider_knows_no_other_provider() -> None:
    """But what all share, OpenAI's format, which most speak, and modules of its own."""
    prefix = "gateway_async.providers."
    for module in in_package("gateway_async"):
        if not module.name.startswith(prefix):
            continue
        name = module.name.removeprefix(prefix)
        others = {each.removeprefix(prefix) for each in module.imports if each.startswith(prefix)}
        own = (name.split(".")[0], "openai_format")
        foreign = {each for each in others if not each.startswith("_") and each.split(".")[0] not in own}
        assert foreign - ALSO_FROM.get(name, set()) == set(), module.name


def test_providers_touch_no_socket_and_no_clock_of_the_loop() -> None:
    """Values in, values out: what sends is `upstream`."""
    forbidden = {"socket", "ssl", "http", "urllib.request", "aiohttp", "httpx", "httptools", "anyio"}
    for module in in_package("gateway_async"):
        if (
            module.name.startswith("gateway_async.providers")
            and module.name != "gateway_async.providers.offline.provider"
        ):
            assert (module.imports | module.lazy) & (forbidden | {"asyncio"}) == set(), module.name


def test_the_engine_takes_only_the_base_of_the_providers() -> None:
    """A provider is found by its name in their table."""
    for name in ("gateway", "provider_call", "upstream", "upstream_proxy"):
        imports = ours(modules()[f"gateway_async.{name}"].imports, "gateway_async")
        found = {each for each in imports if each.startswith("gateway_async.providers")}
        assert found <= {
            "gateway_async.providers",
            "gateway_async.providers._base",
            "gateway_async.providers._errors",
            "gateway_async.providers._refusals",
        }


def test_the_blocking_package_and_the_server_do_not_know_each_other() -> None:
    """Nor does the core know either."""
    allowed = {
        "gateway_async": {"gateway_async"},
        "gateway_sync": {"gateway_async", "gateway_sync"},
        "gateway_server": {"gateway_async", "gateway_server"},
    }
    for package, own in allowed.items():
        for module in in_package(package):
            found = {name.split(".")[0] for name in module.imports | module.lazy | module.typing}
            assert {name for name in found if name.startswith("gateway_")} <= own, module.name


@pytest.mark.parametrize("package", ["gateway_sync", "gateway_server"])
def test_others_take_only_public_modules_of_the_core(package: str) -> None:
    """Nothing with an underscore before it; the blocking package nothing of the engine either."""
    for module in in_package(package):
        taken = ours(module.imports | module.lazy, "gateway_async")
        assert [name for name in taken if "._" in name] == [], module.name
        if package == "gateway_sync":
            assert {part_of(name) for name in taken} & NEEDS_AN_EXTRA == set(), module.name


def test_starlette_is_the_server_s_only() -> None:
    """The core knows no HTTP server."""
    users = {name.split(".")[0] for name, module in modules().items() if "starlette" in theirs(module)}

    assert users == {"gateway_server"}
