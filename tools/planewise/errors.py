"""Errors that a person can act on."""

from __future__ import annotations

import sys

# A MONAI Label server returns the text of Starlette's HTTPException to the client, and answers any other error with a
# bare "Internal Server Error". Bundles do not need Starlette, so the class is looked up among loaded modules instead of
# imported.
_WEB = sys.modules.get("starlette.exceptions")


class InputError(ValueError, *([_WEB.HTTPException] if _WEB else [])):  # type: ignore[misc]
    """An error in the input, not in the program: the message gives the value, the rule and the remedy.

    Commands and bundle runs print only its message, and a MONAI Label server answers 422 with it; any other exception
    keeps its traceback.
    """

    status_code, headers = 422, None

    __str__ = ValueError.__str__

    @property
    def detail(self) -> str:
        """The answer of a server."""
        return str(self)


def causes(error: BaseException) -> list[BaseException]:
    """An error and its causes, the first cause last."""
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) is not None:
        found.append(cause)
    return found


def refusal(error: BaseException) -> InputError | None:
    """The `InputError` that an error is or was raised from, because MONAI wraps errors of transforms. None if there is
    none.
    """
    return next((cause for cause in causes(error) if isinstance(cause, InputError)), None)
