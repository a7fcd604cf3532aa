"""The name of the package in this repository, and its name in a packaged bundle, which contains only the code that its
configs use."""

import sys

OURS, THEIRS = "planewise", "scripts"


def forget_theirs() -> None:
    """Forget the code of the packaged bundles that were loaded, so that the next import takes another bundle's."""
    for name in [name for name in sys.modules if name.partition(".")[0] == THEIRS]:
        del sys.modules[name]
