"""Find the configuration that is running."""

from __future__ import annotations

import inspect
from typing import TypeVar

from monai.bundle import ConfigParser, ConfigWorkflow

T = TypeVar("T")


def running_parser() -> ConfigParser | None:
    """The parser of the running configuration, including overrides; None outside a config.

    In MONAI, an expression of a config has no access to the parser, whether the run was started from the command line,
    from Python or by MONAI Label. This function therefore searches the call stack for it.
    """
    return _on_the_stack(ConfigParser)


def running_workflow() -> ConfigWorkflow | None:
    """The running workflow, which knows the folder of the config's first file and the name of the run; None outside one."""
    return _on_the_stack(ConfigWorkflow)


def _on_the_stack(kind: type[T]) -> T | None:
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, kind):
            return owner
        frame = frame.f_back
    return None
