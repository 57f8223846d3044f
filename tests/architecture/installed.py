"""Run in a process of its own: Python as it is where only the client is installed. What stands in argv[1] is executed.

Every package that no client needs is not found, whatever this machine has.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

CLIENT = {
    *("gateway_async", "gateway_sync", "gateway_server"),
    # The project's dependencies, and theirs.
    *("annotated_types", "anyio", "certifi", "h11", "httpcore", "httpx", "idna", "pydantic", "pydantic_core"),
    *("sniffio", "tenacity", "typing_extensions", "typing_inspection"),
}


class NotInstalled(MetaPathFinder):
    """Finds nothing, and says so before anybody else looks."""

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse what a client does not have."""
        name = fullname.partition(".")[0]
        if name not in CLIENT and (found := PathFinder.find_spec(name)) is not None:
            places = [found.origin or "", *(found.submodule_search_locations or ())]
            if any("site-packages" in place or "dist-packages" in place for place in places):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, NotInstalled())
    # What this environment has loaded at its start (plugins, editable installs) is not there either.
    for loaded in list(sys.modules):
        if loaded.partition(".")[0] not in CLIENT | set(sys.stdlib_module_names) | {"__main__"}:
            del sys.modules[loaded]
    exec(compile(sys.argv[1], "<test>", "exec"), {"__name__": "__main__"})
