"""Findings of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from planewise.errors import InputError

Status = Literal["ok", "warning", "FAIL"]
#: Who would stumble: the Model Zoo's checks, its unit test of each bundle, MONAI Label, or we alone.
Tier = Literal["zoo", "unit", "label", "ours"]


@dataclass(frozen=True)
class Finding:
    """One line of a check."""

    status: Status
    name: str
    detail: str = ""
    tier: Tier = "ours"


class Remark(Exception):
    """Raised by a check for what a person should know although it makes nothing fail."""


def need(condition: Any, text: str) -> None:
    """End a check with a failure unless something holds.

    Raises:
        InputError: the condition is false.
    """
    if not condition:
        raise InputError(text)


def reason(error: BaseException) -> str:
    """The innermost message, in a line: MONAI wraps what a config raises."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, (InputError, AssertionError)) else f"{type(error).__name__}: {text}"
