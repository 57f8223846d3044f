"""What every module has: a docstring, a size that is read in one sitting, names that are there."""

import ast
import importlib
import inspect
import re
import tomllib
from types import ModuleType

import pytest

import gateway_async
import gateway_sync
from tests.architecture.modules import ROOT, Module, modules

MOST_LINES = 400
MOST_LINES_OF_A_PROVIDER = 250


def test_every_module_says_what_it_is_for() -> None:
    """In a docstring that begins with a sentence."""
    assert [module.name for module in modules().values() if not ast.get_docstring(module.tree)] == []


@pytest.mark.parametrize("module", list(modules().values()), ids=lambda module: module.name)
def test_a_module_is_read_in_one_sitting(module: Module) -> None:
    """What grows beyond is two ideas."""
    of_a_provider = module.name.startswith("gateway_async.providers.")
    assert module.lines <= (MOST_LINES_OF_A_PROVIDER if of_a_provider else MOST_LINES)


def importable(module: Module) -> bool:
    """Whether importing it does nothing else."""
    return not module.name.endswith(("__main__", "_generate"))


@pytest.mark.parametrize("name", ["gateway_async", "gateway_sync", "gateway_server", "gateway_async.schemas"])
def test_a_package_offers_what_it_has(name: str) -> None:
    """`__all__` is every public name in it, and each name of it is there."""
    package = importlib.import_module(name)
    there = {
        key
        for key, value in vars(package).items()
        if not key.startswith("_") and not isinstance(value, ModuleType)
    }

    assert set(package.__all__) - {"__version__"} == there
    assert sorted(set(package.__all__)) == sorted(package.__all__)


@pytest.mark.parametrize(
    "module", [module for module in modules().values() if importable(module)], ids=lambda module: module.name
)
def test_what_a_module_offers_is_there(module: Module) -> None:
    """Where it has an `__all__`: every name, and of the public things that it defines every class and function."""
    loaded = importlib.import_module(module.name)
    if (offered := getattr(loaded, "__all__", None)) is None:
        return
    defined = {
        name
        for name, thing in vars(loaded).items()
        if not name.startswith("_")
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.name
    }

    assert [name for name in offered if not hasattr(loaded, name)] == []
    assert defined - set(offered) == set()


def test_the_version_is_one() -> None:
    """In the project's file and in both packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert gateway_async.__version__ == gateway_sync.__version__ == project["version"]


def test_the_changelog_is_well_formed() -> None:
    """Keep a Changelog: what comes next first, then versions from new to old, each change under its kind."""
    lines = (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines()
    assert lines[0] == "# Changelog"
    releases = [line for line in lines if line.startswith("## ")]
    assert releases[0] == "## [Unreleased]"
    found = [re.fullmatch(r"## \[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", line) for line in releases[1:]]
    assert all(found)
    versions = [tuple(map(int, match.groups())) for match in found if match]
    assert versions == sorted(versions, reverse=True)
    assert len(set(versions)) == len(versions)

    kinds = {"### Added", "### Changed", "### Deprecated", "### Removed", "### Fixed", "### Security"}
    assert {line for line in lines if line.startswith("### ")} <= kinds
    body = lines[lines.index(releases[0]) :]
    blocks = [line for line in body if line and not line.startswith("#")]
    assert all(line.startswith(("- ", "  ")) for line in blocks)
    for at, line in enumerate(body):
        if line.startswith("### "):
            assert any(each.startswith("- ") for each in body[at + 1 : at + 3]), f"nothing under {line}"
