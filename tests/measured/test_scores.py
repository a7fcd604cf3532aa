"""Test the table of a study's mean scores."""

from __future__ import annotations

from tools.measured.scores import score_table

ENTRY = {
    "table": "Dice",
    "head": "Dice",
    "columns": {"0": [0, ""], "4": [4, ""], "4, longer": [4, ", longer"]},
    "rows": {"scratch": ["from scratch"], "pretrained": ["location", "location, as it ships"]},
}


def row(interval: str, verdict: str) -> dict[str, str]:
    return {"mean": "+0.2", "95 % interval": interval, "verdict": verdict}


def test_each_score_has_the_interval_of_its_gain_over_scratch_with_as_many_steps():
    scores = {
        "4, from scratch": "0.5",
        "4, location": "0.7",
        "4, location, longer": "0.8",
        "0, location, as it ships": "0.6",
    }
    differences = {
        "4, location minus scratch": row("+0.100 to +0.300", "better"),
        "4, location, longer minus scratch": row("+0.200 to +0.400", "better"),
    }
    long = {"4, location, longer minus from scratch, longer": row("-0.010 to +0.030", "inconclusive")}
    tables = {
        "Dice": {name: {"mean": f"{value} (0.1)"} for name, value in scores.items()},
        "Paired differences in mean Dice": differences,
        "Paired differences in mean Dice, longer": long,
    }
    assert score_table({"tables": tables}, ENTRY).splitlines()[2:] == [
        "| scratch | - | 0.5 | - |",
        "| pretrained | 0.6 | **0.7** (+0.100 to +0.300) | 0.8 (-0.010 to +0.030) |",
    ]


def test_without_a_record_or_an_interval_there_is_none():
    assert score_table(None, ENTRY).splitlines()[2:] == ["| scratch | - | - | - |", "| pretrained | - | - | - |"]
    tables = {
        "Dice": {"4, location": {"mean": "0.7 (0.1)"}},
        "Paired differences in mean Dice": {"4, location minus scratch": row("-", "one draw")},
    }
    assert "| pretrained | - | 0.7 | - |" in score_table({"tables": tables}, ENTRY)
