"""Errors that users can act on."""

from __future__ import annotations

import re
import sys
from typing import TypeGuard

# A MONAI Label server returns the text of Starlette's HTTPException to the client, and answers any other error with a
# bare "Internal Server Error". Bundles do not need Starlette, so the class is looked up among loaded modules instead of
# imported.
_WEB = sys.modules.get("starlette.exceptions")


class InputError(ValueError, *([_WEB.HTTPException] if _WEB else [])):  # type: ignore[misc]
    """An error in the input rather than in the program. The message contains the value, the rule and the remedy.

    Commands and bundle runs print only its message, and a MONAI Label server returns it with status 422; any other
    exception keeps its traceback.

    Args:
        reason: a text, or a `planewise.findings.Finding`.
        about: the exam and the part of it that ``reason`` is about; the message begins with it.
    """

    status_code, headers = 422, None

    __str__ = ValueError.__str__

    def __init__(self, reason: object = "", about: str = "") -> None:
        ValueError.__init__(self, f"{about}: {reason}" if about else reason)
        self.reason = reason

    @property
    def detail(self) -> str:
        """The text that a server returns."""
        return str(self)


def causes(error: BaseException) -> list[BaseException]:
    """An error, followed by its causes; the original cause comes last."""
    found = [error]
    # an error can be its own cause: `raise error from error`
    while (cause := found[-1].__cause__ or found[-1].__context__) is not None and cause not in found:
        found.append(cause)
    return found


def is_input_error(error: BaseException) -> TypeGuard[InputError]:
    """Whether an error is an `InputError` of this package or of a packaged bundle, which has its own copy of the class."""
    return isinstance(error, InputError) or type(error).__name__ == InputError.__name__


def refusal(error: BaseException) -> InputError | None:
    """The first `InputError` among an error and its causes, or None.

    MONAI wraps the errors of its transforms, and `SaveImage` quotes the errors of its writers as tracebacks.
    """
    for cause in causes(error):
        if is_input_error(cause):
            return cause
        if quoted := re.search(rf"^{InputError.__module__}\.InputError: (.+)$", str(cause), re.MULTILINE):
            return InputError(quoted[1])
    return None
