"""Where the app stands in the host that it is mounted in."""

from urllib.parse import unquote

from starlette.types import Scope


def path_within(scope: Scope) -> str:
    """The path of a request as the app's router sees it: without the prefix of a mount.

    Exactly as Starlette's router, whatever the prefix is: what is judged by its path must be what is done.
    """
    path: str = scope["path"]
    prefix = scope.get("root_path")
    if not prefix or not path.startswith(prefix):
        return path
    within = path[len(prefix) :]
    return within if within[:1] in ("", "/") else path


def mounted(scope: Scope) -> Scope:
    """The scope with the mount's prefix where ASGI has it: in `root_path`, and at the beginning of `path`.

    Starlette and FastAPI put it there. Litestar cuts it from the path, ends the path with a slash, and tells nobody; but
    `raw_path` is what the caller sent.
    """
    path, whole = scope["path"], unquote((scope.get("raw_path") or b"").decode("latin-1"))
    if scope.get("root_path") or whole == path or not path.startswith("/"):
        return scope
    inner = path if whole.endswith(path) else path.removesuffix("/")
    if not whole.endswith(inner):
        return scope
    prefix = whole.removesuffix(inner)
    return {**scope, "root_path": prefix, "path": prefix + (inner or "/")}
