"""The packages' modules as their source shows them: what each imports, defines and says of itself."""

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "gateway_async": ROOT / "gateway_async",
    "gateway_sync": ROOT / "gateway_sync",
    "gateway_server": ROOT / "server" / "gateway_server",
}


@dataclass
class Module:
    """One module.

    Attributes:
        name: Its full name.
        imports: The modules that importing it imports.
        lazy: Those that it imports later, within a function.
        typing: Those that only a type checker sees.
    """

    name: str
    path: Path
    imports: set[str] = field(default_factory=set)
    lazy: set[str] = field(default_factory=set)
    typing: set[str] = field(default_factory=set)

    @property
    def tree(self) -> ast.Module:
        """Its source."""
        return ast.parse(self.path.read_text("utf-8"))

    @property
    def lines(self) -> int:
        """How many it has."""
        return len(self.path.read_text("utf-8").splitlines())


@cache
def modules() -> dict[str, Module]:
    """Every module of the packages, by name."""
    found: dict[str, Module] = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = Module(name, path)
    for module in found.values():
        _Reader(module, set(found)).visit(module.tree)
    return found


class _Reader(ast.NodeVisitor):
    """Sorts a module's imports by when they happen."""

    def __init__(self, module: Module, known: set[str]) -> None:
        self._module, self._known = module, known
        self._into = module.imports

    def visit_Import(self, node: ast.Import) -> None:
        self._into.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.module, f"{self._module.name}: relative imports hide who imports whom"
        assert node.level == 0
        inner = {f"{node.module}.{alias.name}" for alias in node.names}
        # `from package import module` imports the module, `from module import thing` the thing's module.
        self._into.update(inner & self._known or {node.module})

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._within(node, self._module.lazy)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._within(node, self._module.lazy)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            self._within(node, self._module.typing)
        else:
            self.generic_visit(node)

    def _within(self, node: ast.AST, into: set[str]) -> None:
        before, self._into = self._into, into
        self.generic_visit(node)
        self._into = before
