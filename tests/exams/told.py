"""What tests look at in findings: their codes, by level."""

from collections.abc import Iterable
from typing import Any

from planewise.findings import FLAG, NOTE, Finding, of_level


def codes(findings: Iterable[Finding]) -> list[str]:
    return [each.code for each in findings]


def flags(holder: Any) -> list[Finding]:
    """The flags of a stack, an exam, a recognition or an input stack."""
    return of_level(holder.findings, FLAG)


def notes(holder: Any) -> list[Finding]:
    return of_level(holder.findings, NOTE)
