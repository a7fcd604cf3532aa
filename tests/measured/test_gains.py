"""Test that statements about studies follow from their records."""

from __future__ import annotations

import pytest

from tools.measured import gains

ENTRY = {"title": "Hearts", "score": "mean Dice", "unit": "labelled exams", "table": "Paired"}


def row(mean: str, interval: str, verdict: str, each: str = "") -> dict[str, str]:
    return {"mean": mean, "95 % interval": interval, "verdict": verdict, "each draw": each}


def study(**changed: object) -> gains.Study:
    rows = {
        "4, a minus scratch": row("+0.200", "+0.100 to +0.300", "better", "+0.1 +0.3"),
        "4, b minus scratch": row("-0.100", "-0.150 to -0.050", "worse"),
        "16, a minus scratch": row("+0.050", "-0.010 to +0.110", "inconclusive"),
        "16, b minus scratch": row("+0.010", "-", "the word of an older page"),
        "4, a again minus scratch": row("+0.300", "+0.200 to +0.400", "better"),
        "4, a minus b": row("+0.300", "+0.200 to +0.400", "better"),
    }
    tables = {
        "Paired": rows,
        "Dice": {"4, from scratch": {"mean": "0.61 (0.2)", "missed": "1"}, "4, a": {"mean": "0.81 (0.2)"}},
        "Kappa": {"from scratch": {"method": "from scratch", "4 (10 %)": "0.5 (0.1)", "80": ""}},
    }
    return gains.Study.of({"tables": tables}, ENTRY | changed)


def test_a_table_marks_each_verdict_and_counts_the_draws():
    title, _, _, _, *rows = study(names={"b": "c"}).table().splitlines()
    assert title == "**Hearts**, mean Dice by labelled exams, draws: 2 and 1"
    assert rows == ["| a | **+0.200** | +0.050 |", "| c | *-0.100* | (+0.010) |", "| a again | **+0.300** |  |"]
    assert gains.verdicts_in_all([study()]).startswith("In all, 3 of 4 intervals exclude zero (2 better, 1 worse)")


def test_a_table_begins_with_the_scores_from_scratch():
    for path, score in (("Dice/*, from scratch/mean", "0.61"), ("Kappa/from scratch/*", "0.5")):
        assert study(scratch=path).table().splitlines()[4] == f"| score from scratch | {score} |  |"
    with pytest.raises(ValueError, match=r"Dice/\*, from zero/mean leads to no score"):
        study(scratch="Dice/*, from zero/mean")


def test_a_bundles_page_has_its_methods_gains_in_every_study():
    rows = gains.of_methods([study(), study(title="Knees")], ["b", "c"]).splitlines()
    assert rows[2:5] == [
        "| Hearts, mean Dice | b | 4: *-0.100*, 16: (+0.010) |",
        "| Knees, mean Dice | b | 4: *-0.100*, 16: (+0.010) |",
        "",
    ]


SCORES = {
    "table": "Dice",
    "head": "Dice",
    "columns": {"0": [0, ""], "4": [4, ""], "4, longer": [4, ", longer"]},
    "rows": {"scratch": ["from scratch"], "pretrained": ["location", "location, as it ships"]},
}


def test_each_score_has_the_interval_of_its_gain_over_scratch_with_as_many_steps():
    scores = {
        "4, from scratch": "0.5",
        "4, location": "0.7",
        "4, location, longer": "0.8",
        "0, location, as it ships": "0.6",
    }
    differences = {
        "4, location minus scratch": row("+0.2", "+0.100 to +0.300", "better"),
        "4, location, longer minus scratch": row("+0.2", "+0.200 to +0.400", "better"),
    }
    long = {"4, location, longer minus from scratch, longer": row("+0.2", "-0.010 to +0.030", "inconclusive")}
    tables = {
        "Dice": {name: {"mean": f"{value} (0.1)"} for name, value in scores.items()},
        "Paired differences in mean Dice": differences,
        "Paired differences in mean Dice, longer": long,
    }
    assert gains.score_table({"tables": tables}, SCORES).splitlines()[2:] == [
        "| scratch | - | 0.5 | - |",
        "| pretrained | 0.6 | **0.7** (+0.100 to +0.300) | 0.8 (-0.010 to +0.030) |",
    ]
