"""Test paired differences from the runs without pretraining, and the verdict on each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planewise.workshop.study.folder import StudyFolder
from planewise.workshop.study.page import Page
from planewise.workshop.study.paired import add_paired, over_draws, paired_differences

from tests.reports.study.studies import shown


def section(scores, lead=False, **against):
    """The tables and the page of these scores, of methods that are compared with the named ones."""
    methods = {method: {"against": against.get(method)} for method, _ in scores}
    page = Page()
    page.add("<h2>A section</h2>")
    add_paired(page, StudyFolder(Path(), {"anatomy": "cardiac", "methods": methods}), "mean Dice", scores, lead)
    return shown(page), page


SCORES = {
    ("none", 4): {0: 0.40, 1: 0.50, 2: 0.60},
    # +.10 +.20 +.30: deviation .1, interval .2 -+ 4.303 * .1 / sqrt(3)
    ("multitask", 4): {0: 0.50, 1: 0.70, 2: 0.90},
    # +.20 +.21 +.22
    ("simclr", 4): {0: 0.60, 1: 0.71, 2: 0.82},
}


def test_every_method_is_compared_with_scratch():
    tables, _ = section(SCORES)
    assert [table[1:] for table in tables.values()] == [[
        ["4, multitask minus scratch", "+0.200", "0.100", "-0.048 to +0.448", "3 of 3", "+0.100 +0.200 +0.300",
         "inconclusive"],
        ["4, SimCLR minus scratch", "+0.210", "0.010", "+0.185 to +0.235", "3 of 3", "+0.200 +0.210 +0.220", "better"],
    ]]  # fmt: skip


def test_one_draw_has_no_interval_and_measures_nothing():
    tables, page = section({("none", 1): {0: 0.4}, ("multitask", 1): {0: 0.7}})
    row = tables["Paired differences in mean Dice"][1]
    assert row[1:] == ["+0.300", "-", "-", "1 of 1", "+0.300", "no verdict from one draw"]
    assert "<img" not in page.html(""), "there is no picture for single draws"
    _, page = section(SCORES)
    assert "<img" in page.html("")


def test_longer_trainings_are_compared_with_a_control_of_the_same_length():
    long = {(f"{method}_long", count): draws for (method, count), draws in SCORES.items() if method != "simclr"}
    _, page = section(SCORES | long, lead=True, multitask_long=["none_long"])
    baselines = {
        name: [row["baseline"] for row in page.differences if row["method"] == name]
        for name in ("multitask_long", "none_long")
    }
    assert baselines == {"multitask_long": ["none_long"], "none_long": ["none"]}


def test_a_score_that_falls_is_worse():
    scores = {("none", 4): {0: 1.0, 1: 2.0}, ("a", 4): {0: 0.8, 1: 1.81}}
    assert section(scores)[0]["Paired differences in mean Dice"][1][-1] == "worse"


def test_the_page_begins_with_the_verdicts():
    """Each number of labelled exams has its line; the numbers behind the verdicts are kept for a table."""
    scores = SCORES | {("none", 1): {0: 0.4}, ("multitask", 1): {0: 0.3}}
    _, whole = section(scores, lead=True)
    text = whole.html("a study")
    assert "<li>1 labelled exam: no verdict from one draw: multitask (-0.100)</li>" in text
    assert "<li>4 labelled exams: better: SimCLR (+0.210); inconclusive: multitask (+0.200)</li>" in text
    assert (
        text.index("Gain in mean Dice over training from scratch") < text.index("data:image") < text.index("A section")
    )
    (row,) = [row for row in whole.differences if row["method"] == "simclr" and row["baseline"] == "none"]
    assert row["table"] == "Paired differences in mean Dice" and row["labelled_exams"] == 4 and row["draws"] == 3
    assert [row["mean"], row["low"], row["high"]] == pytest.approx([0.21, 0.1852, 0.2348], abs=1e-4)
    assert row["verdict"] == "better"
    assert [row["low"] for row in whole.differences if row["labelled_exams"] == 1] == [None]


def test_a_method_is_compared_with_those_that_the_study_names():
    scores = {("none", 4): {0: 0.4, 1: 0.5}, ("zoo", 4): {0: 0.7, 1: 0.8}, ("other", 4): {0: 0.6, 1: 0.6}}
    table = section(scores, zoo=["none", "other"])[0]["Paired differences in mean Dice"]
    rows = [["4, zoo minus scratch", "+0.300"], ["4, zoo minus other", "+0.150"], ["4, other minus scratch", "+0.150"]]
    assert [row[:2] for row in table[1:]] == rows


def test_the_deviation_of_draws_is_that_of_their_population():
    # 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14, over 2
    assert over_draws([1.0, None, 2.0, 6.0]) == "3.000 (2.646)"
    assert over_draws([0.5]) == "0.500"
    assert over_draws([None]) == over_draws([]) == "-"


def test_differences_are_of_the_same_draw():
    # draw 1 is missing on one side and draw 3 on the other; the order of the draws does not matter
    found = paired_differences({2: 0.7, 0: 0.5, 3: 9.0}, {0: 0.4, 1: 9.0, 2: 0.9})
    np.testing.assert_allclose(found, [0.1, -0.2])
    assert len(paired_differences({0: 0.5}, {})) == 0
