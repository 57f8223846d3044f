"""Plugins that are installed for a test: a module and a distribution around it, as an installer leaves them."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway_async import plugins, providers

Install = Callable[..., Path]


def forget() -> None:
    """Let the entry points be read anew."""
    importlib.invalidate_caches()
    plugins.offered.cache_clear()
    plugins.find_plugin.cache_clear()
    providers.get_provider.cache_clear()
    providers._warn_of_taken_names.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a plugin for this process: `install(name, source)`; gives the folder, for a process of its own."""
    folder, made = tmp_path / "site-packages", list[str]()

    def install(
        name: str, source: str | None, *, attribute: str = "provider", distribution: str = "some-plugin"
    ) -> Path:
        module = f"plugin_{len(made)}_{tmp_path.name}".replace("-", "_")
        made.append(module)
        info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[gateway.providers]\n{name} = {module}:{attribute}\n")
        if source is not None:
            (folder / f"{module}.py").write_text(source)
        forget()
        return folder

    monkeypatch.syspath_prepend(folder)
    yield install
    forget()
    for module in made:
        sys.modules.pop(module, None)
