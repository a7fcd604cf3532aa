"""Find the configuration that is running."""

from __future__ import annotations

import inspect

from monai.bundle import ConfigParser


def running_parser() -> ConfigParser | None:
    """The parser of the running configuration, including overrides; None outside a config.

    In MONAI, an expression of a config has no access to the parser, whether the run was started from the command line,
    from Python or by MONAI Label. This function therefore searches the call stack for it.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, ConfigParser):
            return owner
        frame = frame.f_back
    return None
