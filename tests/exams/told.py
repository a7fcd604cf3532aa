"""What tests look at in findings: their codes, by level."""

from collections.abc import Iterable
from typing import Any

from planewise.findings import FLAG, NOTE, Finding, from_text, of_level


def codes(findings: Iterable[Finding]) -> list[str]:
    return [each.code for each in findings]


def flags(holder: Any) -> list[Finding]:
    """The flags of a stack, an exam, a recognition or an item."""
    found = from_text(holder.get("findings", "[]")) if isinstance(holder, dict) else holder.findings
    return of_level(found, FLAG)


def why_not(item: dict) -> list[Finding]:
    """Why an item of `find_stacks` is not the requested stack."""
    return from_text(item.get("why_not", "[]"))


def notes(holder: Any) -> list[Finding]:
    return of_level(holder.findings, NOTE)
