"""Findings of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from planewise.errors import InputError, is_input_error

Status = Literal["ok", "warning", "FAIL"]
#: The audience that a failure affects: the Model Zoo's checks, its unit test of each bundle, MONAI Label, or only ourselves.
Tier = Literal["zoo", "unit", "label", "ours"]


@dataclass(frozen=True)
class Finding:
    """The result of a check, which is printed as one line."""

    status: Status
    name: str
    detail: str = ""
    tier: Tier = "ours"


class Remark(Exception):
    """Raised by a check for information that is not a failure."""


def need(condition: Any, text: str) -> None:
    """Fail the current check unless a condition is true.

    Raises:
        InputError: the condition is false.
    """
    if not condition:
        raise InputError(text)


def root_cause(error: BaseException) -> BaseException:
    """The error that caused all others in a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def reason(error: BaseException) -> str:
    """The message of the root cause in one line; MONAI wraps the errors of configs."""
    error = root_cause(error)
    text = " ".join(str(error).split())[:300]
    return text if is_input_error(error) or isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"
