"""The files of this package that some of its modules depend on, found by following imports."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path


def reached_files(modules: Iterable[str], root: Path) -> dict[str, Path]:
    """Dotted name to file, for the modules themselves and for everything of the package that they import, directly or
    indirectly.

    Imports inside functions count too. A name that a room only re-exports (``from package.room import Name``) leads to
    its defining module, and neither the room's ``__init__.py`` nor its other modules count: a file that is added to a
    room concerns only its importers.

    Args:
        modules: dotted names.
        root: the package's folder, which carries its name (``scripts`` in a packaged bundle).
    """
    found: dict[str, Path] = {}
    waiting = sorted(modules)
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found[module] = _file(module, root)
        for imported in _imports(found[module], module, found[module].stat().st_mtime_ns):
            if imported.partition(".")[0] == root.name:
                waiting.append(_home(imported, root))
    return found


def code_digest(modules: Iterable[str], root: Path) -> str:
    """Digest of the text of all `reached_files`."""
    digest = hashlib.sha256()
    for module, file in sorted(reached_files(modules, root).items()):
        text = file.read_bytes()
        digest.update(f"{module} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()


def _file(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _home(name: str, root: Path) -> str:
    """The module that defines a dotted name (a module or a name in one)."""
    module = root.name
    for part in name.split(".")[1:]:
        file = _file(module, root)
        handed_on = _handed_on(file, module, file.stat().st_mtime_ns) if file.name == "__init__.py" else {}
        # a room may re-export a function under the name of its defining module, which then is the home
        if part in handed_on and not f"{handed_on[part]}.".startswith(f"{module}.{part}."):
            return _home(handed_on[part], root)
        if not _file(f"{module}.{part}", root).is_file():
            return module
        module = f"{module}.{part}"
    return module


@cache
def _imports(file: Path, module: str, modified: int) -> tuple[str, ...]:
    """Dotted names that a file imports, sorted. ``modified`` only gives a rewritten file a new cache entry."""
    tree = ast.parse(file.read_bytes())
    return tuple(sorted({name for node in ast.walk(tree) for _, name in _imported(node, file, module)}))


@cache
def _handed_on(file: Path, module: str, modified: int) -> dict[str, str]:
    """Name to dotted name for what a room's ``__init__.py`` imports, or names in a literal ``_HOMES``."""
    names: dict[str, str] = {}
    for statement in ast.parse(file.read_bytes()).body:
        if isinstance(statement, ast.ImportFrom):
            names |= dict(_imported(statement, file, module))
        elif isinstance(statement, ast.Assign) and "_HOMES" in map(ast.unparse, statement.targets):
            names |= {name: f"{home}.{name}" for name, home in ast.literal_eval(statement.value).items()}
    return names


def _imported(node: ast.AST, file: Path, module: str) -> Iterator[tuple[str, str]]:
    """The names bound by the parts of an import statement, and the dotted names that they stand for."""
    if isinstance(node, ast.Import):
        yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        yield from ((alias.asname or alias.name, f"{source}.{alias.name}") for alias in node.names)
