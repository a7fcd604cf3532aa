"""What is found out about an input: a code with values. `catalogue.yaml`, and no other place, turns codes into words."""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from planewise.words import count_of, listed, some_of

#: Levels of a finding, the gravest first: the input is left out; numbers that rest on it may be wrong; for information.
REFUSE, FLAG, NOTE = "refuse", "flag", "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about an input. Two findings are equal if they say the same."""

    code: str
    """name of its entry in `catalogue.yaml`"""
    subject: str = ""
    """what it is about, if that is a part of the exam: a view, a stack or a number; empty for the whole input"""
    values: tuple[tuple[str, Any], ...] = ()
    """the fields of its sentence, in plain Python values"""

    @property
    def level(self) -> str:
        """`REFUSE`, `FLAG` or `NOTE`."""
        return catalogue()[self.code]["level"]

    @property
    def marks(self) -> tuple[str, ...]:
        """The numbers that it concerns, by its value ``marks`` or by its entry; empty if it states none."""
        return tuple(dict(self.values).get("marks", catalogue()[self.code].get("marks", ())))

    def __getitem__(self, name: str) -> Any:
        return dict(self.values)[name]

    def about(self, subject: str) -> Finding:
        """The same finding about a part of the exam."""
        return replace(self, subject=subject)

    def record(self) -> dict[str, Any]:
        """The finding for JSON: its code, its subject if it has one, and its values."""
        return {"code": self.code, **({"subject": self.subject} if self.subject else {}), **dict(self.values)}

    def __str__(self) -> str:
        """The finding in words, without a full stop."""
        entry, values = catalogue()[self.code], dict(self.values)
        if "kinds" in entry:
            values["kind"] = _WORDS.vformat(entry["kinds"][values["kind"]], (), values)
        told = ": ".join(_WORDS.vformat(entry[part], (), values) for part in ("says", "do") if part in entry)
        return f"{self.subject}: {told}" if self.subject else told


def finding(code: str, subject: str = "", **values: Any) -> Finding:
    """A `Finding`; ``values`` are the fields of its sentence, and ``kind`` chooses one of several phrases in it."""
    return Finding(code, subject, tuple(sorted((name, _plain(value)) for name, value in values.items())))


def from_record(record: Mapping[str, Any]) -> Finding:
    """The finding of a `Finding.record`."""
    rest = {name: value for name, value in record.items() if name not in ("code", "subject")}
    return finding(record["code"], record.get("subject", ""), **rest)


def said(findings: Iterable[Finding]) -> str:
    """Findings in words, each once, separated by semicolons."""
    return "; ".join(dict.fromkeys(map(str, findings)))


def sentences(findings: Iterable[Finding]) -> list[str]:
    """Findings in words; those that say the same of several subjects are one sentence."""
    subjects: dict[Finding, dict[str, None]] = {}
    for found in findings:
        subjects.setdefault(found.about(""), {})[found.subject] = None
    return [str(found.about(some_of([*filter(None, named)]))) for found, named in subjects.items()]


def to_text(findings: Iterable[Finding]) -> str:
    """Findings as JSON, which an item carries through transforms and data loaders; `from_text` reads it."""
    return json.dumps([found.record() for found in dict.fromkeys(findings)])


def from_text(text: str) -> list[Finding]:
    """The findings of `to_text`."""
    return [from_record(record) for record in json.loads(text)]


def of_level(findings: Iterable[Finding], *levels: str) -> list[Finding]:
    """The findings of these levels, each once, in order."""
    return [found for found in dict.fromkeys(findings) if found.level in levels]


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """The entries of `catalogue.yaml` by code: ``level``, ``says`` (a sentence without a full stop), ``kinds`` (phrases of
    which the value ``kind`` chooses one), ``do`` (what a person can do) and ``marks`` (`Finding.marks`)."""
    return yaml.safe_load(Path(__file__).with_name("catalogue.yaml").read_text("utf-8"))


def _plain(value: Any) -> Any:
    """A value that JSON can hold: NumPy's numbers as Python's, lists as tuples."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    return value.item() if hasattr(value, "item") else value


class _Words(string.Formatter):
    """Format specifications of the catalogue: ``{n:#slice}`` gives ``3 slices``, ``{n:?has|have}`` the form for one or for
    several, ``{names:&}`` ``a, b and c``, ``{numbers:-}`` ``1 2 3``, ``{names:some}`` the first five."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec.startswith("#"):
            return count_of(value, format_spec[1:])
        if format_spec.startswith("?"):
            return format_spec[1:].split("|")[value != 1]
        if format_spec == "&":
            return listed(map(str, value))
        if format_spec == "-":
            return " ".join(f"{each:g}" for each in value)
        if format_spec == "some":
            return some_of([*map(str, value)])
        return super().format_field(value, format_spec)


_WORDS = _Words()
