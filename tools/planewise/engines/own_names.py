"""The name of the package in this repository, and its name in a packaged bundle, which contains only the code that its
configs use."""

import sys
from pathlib import Path

OURS = "planewise"
#: Pattern of the name in packaged bundles, as a glob and as a regular expression. The name ends in a checksum of the code, so
#: that one process can use several packages, each with its own code.
THEIRS = f"{OURS}_{'[0-9a-f]' * 8}"


def own_code(bundle: Path) -> Path | None:
    """The folder of a packaged bundle's code; None if the bundle is not packaged."""
    return next((path.parent for path in bundle.glob(f"{THEIRS}/__init__.py")), None)


def forget(package: str) -> None:
    """Remove a package's loaded modules, so that the next import loads them again."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
