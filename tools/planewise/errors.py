"""Errors that users can act on, and checks of paths that a command makes before it imports anything large."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TypeGuard

#: What the argument EXAM of `planewise plan` and `planewise segment` may be.
EXAM = "EXAM must be a folder of DICOM files, a NIfTI volume of the short axis or a datalist"
#: What the arguments of `planewise compare` may be.
IMAGES = "name a datalist, or a folder that contains exams"

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


def refuse_missing(path: Path, wanted: str) -> None:
    """Raise `InputError` if a path does not exist.

    Args:
        path: the path.
        wanted: what it must be, in words.
    """
    # Path.expanduser raises an error for an unknown user
    if not os.path.exists(os.path.expanduser(path)):
        raise InputError(f"there is no {path}; {wanted}")


def refuse_no_folder(folder: str | Path) -> None:
    """Raise `InputError` if a folder of exams does not exist, or is a file."""
    # os.path is used, because the methods of Path raise errors for unknown users and long names
    folder = os.path.expanduser(folder)
    if not os.path.isdir(folder):
        what = "is a file" if os.path.isfile(folder) else "does not exist"
        raise InputError(f"{folder} {what}; name a folder that contains exams")


def refuse_no_datalist(path: Path) -> None:
    """Raise `InputError` if a datalist does not exist, or is a folder."""
    path = Path(os.path.expanduser(path))
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, not a datalist; make one with `planewise index {path} -o {path}.json` and name it with "
            "--datalist"
        )
    if not path.is_file():
        raise InputError(
            f"there is no datalist {path}; make one with `planewise index FOLDER -o {path}`, or name another one (in the run "
            "of a bundle: --datalist)"
        )


def refuse_unwritable(folder: Path) -> None:
    """Raise `InputError` if no file can be written to a folder, which may be new."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise InputError(f"cannot write to {folder}; name another folder with -o")
