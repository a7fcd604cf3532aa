"""Test that statements about studies follow from their records."""

from __future__ import annotations

import pytest

from tools.measured import gains

ENTRY = {"title": "Hearts", "score": "mean Dice", "unit": "labelled exams", "table": "Paired"}


def study(**changed: object) -> gains.Study:
    def row(mean: str, interval: str, verdict: str) -> dict[str, str]:
        return {"mean": mean, "95 % interval": interval, "verdict": verdict}

    rows = {
        "4, a minus scratch": row("+0.200", "+0.100 to +0.300", "better"),
        "4, b minus scratch": row("-0.100", "-0.150 to -0.050", "worse"),
        "4, d minus scratch": row("-0.050", "-0.090 to -0.010", "worse"),
        "16, a minus scratch": row("+0.050", "-0.010 to +0.110", "inconclusive"),
        "16, b minus scratch": row("+0.010", "-", "the word of an older page"),
        "4, a again minus scratch": row("+0.300", "+0.200 to +0.400", "better"),
        "4, a minus b": row("+0.300", "+0.200 to +0.400", "better"),
    }
    return gains.Study.of({"tables": {"Paired": rows}}, ENTRY | changed)


def test_a_headline_counts_pretexts_and_neither_controls_nor_second_seeds():
    said = "4 (most: a, +0.200), 2 worse (most: b, -0.100); none of 2 better with 16."
    assert study().headline() == f"**Hearts**, mean Dice by labelled exams, 1 draw: 1 of 3 better with {said}"
    assert "1 of 1 better with 4 (most: a, +0.200); none of 1 better with 16." in study(controls=["b", "d"]).headline()
    assert study(controls=["a"], names={"b": "c"}).methods == ["a", "c", "d", "a again"]


def test_a_table_begins_with_the_scores_from_scratch_and_the_headline_says_how_many_draws():
    tables = {
        "Paired": {
            "4, a minus scratch": {"mean": "+0.2", "95 % interval": "-", "verdict": "better", "each draw": "+0.1 +0.3"}
        },
        "Dice": {
            "4, from scratch": {"mean": "0.61 (0.2)", "missed": "1"},
            "4, a": {"mean": "0.81 (0.2)", "missed": "0"},
        },
        "Kappa": {"from scratch": {"method": "from scratch", "4 (10 %)": "0.5 (0.1)", "80": ""}},
    }
    for path, score in (("Dice/*, from scratch/mean", "0.61"), ("Kappa/from scratch/*", "0.5")):
        found = gains.Study.of({"tables": tables}, ENTRY | {"scratch": path})
        assert found.table().splitlines()[2] == f"| score from scratch | {score} |"
        assert "by labelled exams, 2 draws: " in found.headline()
    row = tables["Paired"]["4, a minus scratch"]
    more = {f"{count}, a minus scratch": row | {"each draw": "+0.1"} for count in (16, 64)}
    found = gains.Study.of({"tables": {"Paired": tables["Paired"] | more}}, ENTRY)
    assert "by labelled exams, 2 draws with 4 and 1 draw with 16 and 64: " in found.headline()
    with pytest.raises(ValueError, match=r"Dice/\*, from zero/mean leads to no score"):
        gains.Study.of({"tables": tables}, ENTRY | {"scratch": "Dice/*, from zero/mean"})


def test_a_table_marks_each_verdict():
    assert study().table().splitlines()[2:] == [
        "| a | **+0.200** | +0.050 |",
        "| b | *-0.100* | (+0.010) |",
        "| d | *-0.050* |  |",
        "| a again | **+0.300** |  |",
    ]


def test_a_bundles_page_has_its_methods_gains_in_every_study():
    rows = gains.of_methods([study(), study(title="Knees")], ["b", "c"]).splitlines()
    assert rows[2:5] == [
        "| Hearts, mean Dice | b | 4: *-0.100*, 16: (+0.010) |",
        "| Knees, mean Dice | b | 4: *-0.100*, 16: (+0.010) |",
        "",
    ]
