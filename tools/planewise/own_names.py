"""The name of the package in this repository, and its name in a packaged bundle, which contains only the code that its
configs use."""

import sys
from types import ModuleType

OURS, THEIRS = "planewise", "scripts"


def forget_theirs() -> dict[str, ModuleType]:
    """Forget the code of the packaged bundles that were loaded, so that the next import takes another bundle's. Returns the
    forgotten modules by name."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == THEIRS}
