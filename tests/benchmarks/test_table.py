"""Test the benchmark runner and the pages that it writes."""

from __future__ import annotations

import json

import page
import pytest
import table
from timing import Bar, Options


@pytest.fixture
def group():
    """A function that makes a group of results with some bars."""

    def make(module: str, *bars: Bar, **fields) -> dict:
        shown = {"threads": 1, "quick": False, "device": "cpu", "date": "2026-01-01", "commit": "abc"}
        return {"module": module, "bars": [bar.as_dict() for bar in bars], **shown, **fields}

    return make


def test_a_module_that_fails_is_a_row(monkeypatch):
    # the child process cannot import this module
    failed = table.measure("absent", Options(repetitions=2))
    assert (failed["bars"], failed["error"]) == ([], "ModuleNotFoundError")
    shown = page.block({"machine": table.machine(), "versions": table.versions(), "groups": [failed]})
    assert "Could not be measured: ModuleNotFoundError." in shown.splitlines()


def test_cases_that_were_not_measured_again_stay_with_their_date(group):
    first = [group("steps", Bar("a", 1.0), Bar("b", 2.0)), group("trainer", Bar("c", 3.0))]
    again = group("steps", Bar("b", 5.0), cases=["b"], date="2026-02-02", commit="def")
    steps, trainer = table.merged(first, [again])
    assert trainer == first[1] and "cases" not in steps
    noted = f"{page.MEASURED}2026-01-01 at commit abc"
    assert [(bar["name"], bar["value"], bar["note"]) for bar in steps["bars"]] == [("a", 1.0, noted), ("b", 5.0, "")]


def test_the_pages_are_what_their_results_render_to():
    text = table.PAGE.read_text()
    assert page.render(text, table.RESULTS) == text, "run tools/benchmarks/run --only-page"
    devices = table.GPU_PAGE.read_text()
    assert page.with_block(devices, page.GPU_BEGIN, page.gpu_table(table.RESULTS / "h100.json")) == devices


def test_results_say_nothing_of_who_and_where():
    for path in table.RESULTS.glob("*.json"):
        found = json.loads(path.read_text())
        assert set(found["machine"]) == set(table.machine())
        assert not any(entry["quick"] for entry in found["groups"])
        assert "/home/" not in path.read_text() and "/tmp/" not in path.read_text()


def test_a_bar_over_its_limit_fails(group):
    over = group("batch_path", Bar("a | b", 2.0, limit=1.0, note="n"))
    shown = page.block({"machine": table.machine(), "versions": {"torch": "2"}, "groups": [over]})
    assert "| a / b | ≤ 1 | 2 |  | **fail** | n |" in shown.splitlines()
