"""Extract the part of this package that a bundle's configs need, and rewrite it under another package name.

The part goes into a folder of a packaged bundle, which MONAI's tools and MONAI Label put on the import path.
"""

from __future__ import annotations

import ast
import hashlib
import io
import re
import sys
import tokenize
from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path

import planewise
from planewise.errors import InputError
from planewise.own_names import OURS, THEIRS

_LINE = 120
#: Stands for the name of a bundle's package. It has the same length and the same place among sorted imports.
_NAMELESS = f"{OURS}_00000000"
_DOTTED = re.compile(rf"{OURS}(\.\w+)+")
#: Matches this package's name in a replacement field of an f-string.
_INSIDE = re.compile(rf"{{[^}}\"']*\b{OURS}\b")


class Source:
    """The modules of this package that the given names need, rewritten for a bundle.

    Each name is followed through the ``__init__.py`` of its subpackage to the module that defines it, and from there
    along every import. Subpackages keep only the names that the included code needs. If a subpackage is inside another
    one (``planewise.phantoms.heart``), the ``__init__.py`` of the outer one is included, too.

    Args:
        names: dotted names from configs: ``planewise.networks.SliceNet``.

    Raises:
        InputError: a name of this package does not exist.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.modules: set[str] = set()
        """Dotted names of the modules; packages are not included."""
        self.exports: dict[str, set[str]] = {}
        """Maps each subpackage to the names that its ``__init__.py`` must offer."""
        for name in sorted(names):
            self._reach(name, f"the configs name {name}")

    @cached_property
    def name(self) -> str:
        """The package's name in a bundle: packages with different code have different names."""
        return f"{OURS}_{hashlib.sha256(repr(self._files).encode()).hexdigest()[:8]}"

    def files(self) -> dict[str, str]:
        """Text of each file by its path below the package's folder, sorted: modules, and ``__init__.py`` of the package and
        its subpackages."""
        return {path: text.replace(_NAMELESS, self.name) for path, text in self._files.items()}

    def foreign_imports(self) -> set[str]:
        """Top-level names of the other packages that the modules import, except Python's standard library."""
        return foreign_imports(node for module in self.modules for node in _imports(_tree(module)))

    # following names

    @cached_property
    def _files(self) -> dict[str, str]:
        """The files before the package's name is known, which depends on them."""
        written = {"__init__.py": self._package_init()}
        written |= {f"{_below(room)}/__init__.py": self._room_init(room) for room in self._rooms}
        written |= {f"{_below(module)}.py": _file(module).read_text() for module in self.modules}
        return {path: sorted_imports(rewrite_imports(text)) for path, text in sorted(written.items())}

    @cached_property
    def _rooms(self) -> list[str]:
        """Dotted names of the subpackages that contain the modules, and of their parents."""
        parts = [module.split(".") for module in self.modules]
        return sorted({".".join(names[:number]) for names in parts for number in range(2, len(names))})

    def _reach(self, name: str, why: str) -> None:
        """Follow the dotted name of a module, or of an object in a module; an error message begins with ``why``."""
        module, rest = _longest_module(name)
        if _is_package(module):
            if module == OURS and rest in ([], ["__version__"]):
                return
            if not rest:
                raise InputError(
                    f"{why}; name the part of the subpackage {module} that is needed, as in {module}.Something"
                )
            homes = _homes(module) if module != OURS else {}
            if rest[0] not in homes:
                raise InputError(f"{why}, but there is no {rest[0]} in {module}")
            self.exports.setdefault(module, set()).add(rest[0])
            self._reach(homes[rest[0]], f"{module} offers {rest[0]}")
            return
        if module in self.modules:
            return
        self.modules.add(module)
        tree = _tree(module)
        for node in _imports(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                raise InputError(
                    f"{module} has a relative import (line {node.lineno}); write the full name, {OURS}.<subpackage>.<module>"
                )
            for imported in _imported(node):
                if _is_ours(imported):
                    self._reach(imported, f"{module} imports {imported}")

    # writing files

    def _package_init(self) -> str:
        rooms = "".join(f'    "{_below(room)}",\n' for room in self._rooms if room.count(".") == 1)
        return (
            f'"""The part of {OURS} {planewise.__version__} that this bundle needs, copied by `{OURS} package`."""\n\n'
            "from importlib import import_module\nfrom types import ModuleType\n\n"
            f'__version__ = "{planewise.__version__}"\n\n_ROOMS = (\n{rooms})\n\n\n'
            "def __getattr__(name: str) -> ModuleType:\n"
            "    # a config imports the package and then names any subpackage\n"
            "    if name in _ROOMS:\n"
            '        return import_module(f"{__name__}.{name}")\n'
            '    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")\n'
        )

    def _room_init(self, room: str) -> str:
        """Text of a subpackage's ``__init__.py`` with only the names that the included code needs."""
        homes = _homes(room)
        kept = sorted(self.exports.get(room, ()))
        text = f"{ast.get_source_segment(_file(room).read_text(), _tree(room).body[0])}\n"
        if kept:
            text += "\n" + "".join(_import_line(name, homes[name]) for name in kept)
            text += "\n__all__ = [\n" + "".join(f'    "{name}",\n' for name in kept) + "]\n"
        return text


@cache
def sorted_imports(text: str) -> str:
    """The text of a module with its imports sorted as the Model Zoo's isort expects.

    Imports of this package come after all others, but those of a bundle's package are sorted among the third-party ones.

    Raises:
        InputError: isort is not installed.
    """
    try:
        import isort
    except ImportError:
        raise InputError("packaging needs isort: pip install isort") from None
    return isort.code(
        text, profile="black", line_length=_LINE, known_third_party=[_NAMELESS], split_on_trailing_comma=False
    )


@cache
def rewrite_imports(text: str) -> str:
    """The text of a module with `OURS` replaced by `_NAMELESS`. It is replaced only as the name of the package, and in
    strings that consist of a dotted name, such as a ``_target_`` that the code looks for."""
    lines = text.splitlines(keepends=True)
    places: list[tuple[int, int]] = []  # line and column of the name
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        (line, column), word = token.start, token.string
        if token.type == tokenize.NAME and word == OURS and before != ".":
            places.append((line - 1, column))
        elif token.type == tokenize.STRING:
            prefix = len(word) - len(word.lstrip("rbfuRBFU"))
            if _DOTTED.fullmatch(word[prefix + 1 : -1]):
                places.append((line - 1, column + prefix + 1))
            elif "f" in word[:prefix].lower() and _INSIDE.search(word):
                # before Python 3.12, an f-string is one token
                raise InputError(f"cannot rewrite {word}: use the name {OURS} outside the f-string")
        before = word
    for line, column in reversed(places):
        lines[line] = lines[line][:column] + _NAMELESS + lines[line][column + len(OURS) :]
    return "".join(lines)


def foreign_imports(nodes: Iterable[ast.AST]) -> set[str]:
    """Top-level names that statements import, except Python's standard library, this package and its copy."""
    names = {imported.partition(".")[0] for node in nodes for imported in _imported(node) if imported}
    return {
        name for name in names if name not in sys.stdlib_module_names and not re.fullmatch(f"{OURS}|{THEIRS}", name)
    }


def _homes(room: str) -> dict[str, str]:
    """Map every name of a subpackage to its origin, such as ``planewise.networks.slice_net.SliceNet``."""
    homes = dict(_offered(room))
    for statement in _tree(room).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else ()
        if any(isinstance(target, ast.Name) and target.id == "_HOMES" for target in targets):
            modules = ast.literal_eval(statement.value)
            homes |= {name: f"{module}.{name}" for name, module in modules.items()}
    return homes


def _offered(room: str) -> list[tuple[str, str]]:
    """Names that a subpackage's ``__init__.py`` imports when it runs, each with its origin.

    Raises:
        InputError: the file has a relative import.
    """
    found = []
    for statement in _tree(room).body:
        if isinstance(statement, ast.ImportFrom) and statement.level:
            raise InputError(
                f"{room} has a relative import (line {statement.lineno}); write the full name, {OURS}.<subpackage>.<module>"
            )
        if isinstance(statement, ast.ImportFrom) and _is_ours(statement.module):
            found += [(alias.asname or alias.name, f"{statement.module}.{alias.name}") for alias in statement.names]
    return found


@cache
def _imports(tree: ast.Module) -> list[ast.stmt]:
    """All import statements of a module, including those inside functions."""
    return [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


def _imported(node: ast.AST) -> list[str]:
    """Dotted names in an import statement; empty for any other statement."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _is_ours(name: str | None) -> bool:
    return name is not None and (name == OURS or name.startswith(f"{OURS}."))


def _import_line(name: str, home: str) -> str:
    module, _, original = home.rpartition(".")
    return f"from {module} import {original}{'' if name == original else f' as {name}'}\n"


def _below(module: str) -> str:
    """Convert ``planewise.networks.unet`` to ``networks/unet``."""
    return module.partition(".")[2].replace(".", "/")


def _file(module: str) -> Path:
    path = Path(planewise.__file__).parent.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _tree(module: str) -> ast.Module:
    return _parsed(_file(module))


@cache
def _parsed(path: Path) -> ast.Module:
    """Syntax tree of a file of this package, which does not change while a process runs."""
    return ast.parse(path.read_text())


def _is_package(module: str) -> bool:
    return _file(module).name == "__init__.py"


def _longest_module(name: str) -> tuple[str, list[str]]:
    """Split ``planewise.networks.SliceNet`` into ``planewise.networks`` and ``[SliceNet]``."""
    parts = name.split(".")
    module = parts[0]
    for number in range(2, len(parts) + 1):
        longer = ".".join(parts[:number])
        # some functions of a subpackage have the same name as the module that defines them
        if not _file(longer).is_file() or (number == len(parts) and _is_offered(module, parts[-1])):
            break
        module = longer
    return module, parts[module.count(".") + 1 :]


def _is_offered(room: str, name: str) -> bool:
    """Whether the ``__init__.py`` of a subpackage exports a name that is also the name of one of its modules."""
    if room == OURS or not _is_package(room):
        return False
    return (name, f"{room}.{name}.{name}") in _offered(room)
