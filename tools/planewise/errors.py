"""Errors that a person can act on."""

from __future__ import annotations

import sys

# A MONAI Label server gives the text of Starlette's HTTPException to whoever asked, and answers any other error with a bare
# "Internal Server Error". Bundles do not need Starlette, so it is asked of the process and not imported.
_WEB = sys.modules.get("starlette.exceptions")


class InputError(ValueError, *([_WEB.HTTPException] if _WEB else [])):  # type: ignore[misc]
    """Something about the input, not about the program: says what was given, what is needed, and what to do.

    Commands and bundle runs print its message alone, a MONAI Label server answers 422 with it; any other exception keeps its
    traceback.
    """

    status_code, headers = 422, None

    __str__ = ValueError.__str__

    @property
    def detail(self) -> str:
        """What a server answers."""
        return str(self)


def causes(error: BaseException) -> list[BaseException]:
    """An error and those that it was raised from, the first of them last."""
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) is not None:
        found.append(cause)
    return found


def refusal(error: BaseException) -> InputError | None:
    """The `InputError` that an error is, or was raised from: MONAI wraps what a transform raises. None if there is none."""
    return next((cause for cause in causes(error) if isinstance(cause, InputError)), None)
