"""The name of the package in this repository, and its name in a packaged bundle, which contains only the code that its
configs use."""

import sys
from types import ModuleType

OURS, THEIRS = "planewise", "scripts"


def forget_theirs() -> dict[str, ModuleType]:
    """Remove the loaded modules of packaged bundles, so that the next import loads those of another bundle. Returns the
    removed modules by name."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == THEIRS}
