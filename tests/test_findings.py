"""Test that findings and their catalogue agree with each other and with the code that uses them."""

from __future__ import annotations

import ast
import json
import string
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import planewise
import pytest
from planewise import findings
from planewise.findings import FLAG, NOTE, REFUSE, catalogue, finding, from_record, from_text, said, to_text

PARTS = {"level", "says", "kinds", "do", "marks"}


@cache
def syntax_trees() -> list[ast.Module]:
    (package,) = planewise.__path__
    return [ast.parse(path.read_text("utf-8")) for path in sorted(Path(package).rglob("*.py"))]


@cache
def texts() -> set[Any]:
    """All constants in the package's code."""
    return {node.value for tree in syntax_trees() for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def constants(node: ast.expr | None) -> list[str]:
    """The texts that an argument can be, if it is a constant or chooses between constants; otherwise empty."""
    if isinstance(node, ast.IfExp):
        return constants(node.body) + constants(node.orelse)
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


@cache
def uses() -> list[tuple[str, dict[str, list[str]], bool]]:
    """The calls of `finding` with a constant code: the code, the values' names with their possible constants, and whether
    there are further values that only the running code knows."""
    calls = [call for tree in syntax_trees() for call in ast.walk(tree) if isinstance(call, ast.Call)]
    return [
        (
            code,
            {each.arg: constants(each.value) for each in call.keywords if each.arg},
            any(each.arg is None for each in call.keywords),
        )
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "finding" and call.args
        for code in constants(call.args[0])
    ]


def fields(text: str) -> dict[str, str]:
    """The fields of a sentence, and their format specifications."""
    return {name: spec or "" for _, name, spec, _ in string.Formatter().parse(text) if name}


def problems(entries: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with a catalogue, as codes."""
    yield from (f"unused {code}" for code in entries if code not in texts())
    for code, entry in entries.items():
        if entry.get("level") not in (REFUSE, FLAG, NOTE) or not entry.get("says") or not entry.keys() <= PARTS:
            yield f"form {code}"
    for code, given, more in uses():
        entry = entries.get(code)
        if entry is None:
            yield f"unknown {code}"
            continue
        kinds = entry.get("kinds", {})
        chosen = given.get("kind") or [*kinds]
        if not {*chosen} <= kinds.keys():
            yield f"kind {code}"
        sentences = [entry.get("says", ""), entry.get("do", ""), *(kinds.get(kind, "") for kind in chosen)]
        if not more and not {name for text in sentences for name in fields(text)} <= given.keys():
            yield f"values {code}"


def test_the_code_and_the_catalogue_agree():
    assert len(uses()) > 40 and not [*problems(catalogue())]


@pytest.mark.parametrize(
    ("code", "changed", "problem"),
    [
        ("image-of-the-moon", {"level": "note", "says": "an image of the moon"}, "unused"),
        ("nifti-damaged", None, "unknown"),
        ("nifti-damaged", {"level": "fatal", "says": "colour image"}, "form"),
        ("nifti-damaged", {"level": "refuse", "says": "image in {colours:#colour}"}, "values"),
        ("stack-off-axis", {"level": "refuse", "says": "{kind}", "kinds": {"off-axis": "none"}}, "kind"),
    ],
)
def test_a_broken_entry_is_found(code, changed, problem):
    entries = {**catalogue(), code: changed}
    assert {*problems({key: entry for key, entry in entries.items() if entry})} == {f"{problem} {code}"}


def test_every_sentence_can_be_written():
    for code, entry in catalogue().items():
        assert code == code.lower() and code.replace("-", "").isalnum()
        for kind, phrase in entry.get("kinds", {"": ""}).items():
            specs = [item for text in (entry["says"], entry.get("do", ""), phrase) for item in fields(text).items()]
            # a field that is counted somewhere is a number everywhere
            values = {name: "some" for name, _ in specs}
            values |= {name: ["one", "two"] for name, spec in specs if spec in ("&", "some")}
            values |= {name: [0.5, 1] for name, spec in specs if spec == "-"}
            values |= {name: 3 for name, spec in specs if spec and spec not in ("&", "-", "some")}
            found = str(finding(code, "axial", **values | {"kind": kind} if kind else values))
            assert found.startswith("axial: ") and not {"{", "}"} & {*found}, code


def test_numbers_and_lists_are_written_as_people_write_them(monkeypatch):
    entry = {"level": "note", "says": "{n:#slice} {n:?has|have} {names:&}: {mm:.1f}"}
    monkeypatch.setattr(findings, "catalogue", lambda: {"a": entry})
    assert str(finding("a", n=1, names="x", mm=2)) == "1 slice has x: 2.0"
    assert (
        str(finding("a", "sax", n=2, names=["x", "y", "z"], mm=np.float64(2))) == "sax: 2 slices have x, y and z: 2.0"
    )


def test_findings_survive_json():
    found = [
        finding(
            "slices-missing", between=["2 and 3", "5 and 6"], count=np.int64(8), mm=[*np.float64([20, 30])], usual=10
        ),
        finding("stack-doubtful", "axial", mm=50, kind="sheared"),
        finding("dicom-unusable", kind="colour"),
    ]
    assert [from_record(json.loads(json.dumps(each.record()))) for each in found] == found
    assert from_text(to_text([*found, found[0]])) == found, "each once"
    assert found[1].record() == {"code": "stack-doubtful", "subject": "axial", "kind": "sheared", "mm": 50}


def test_findings_that_say_the_same_are_equal():
    first, second = (
        finding("stack-doubtful", low=3, high=4, kind="gaps"),
        finding("stack-doubtful", high=4, low=3, kind="gaps"),
    )
    assert first == second and said([first, second]) == str(first) and len({first, second}) == 1
    assert first.about("sax") == finding("stack-doubtful", "sax", high=4, low=3, kind="gaps") != first
    assert (first["low"], first.level) == (3, "flag")
