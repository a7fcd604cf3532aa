"""Paired differences: from scratch, from multitask, and which of them the draws do not decide."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from planewise.reports.study import paired

from tests.reports.study.studies import study_folder, tables_of


def section(scores, repeats=None):
    add = SimpleNamespace(add=lambda page, study: paired.add_paired(page, scores, "mean Dice", repeats))
    return tables_of(add, None)


SCORES = {
    ("none", 4): {0: 0.40, 1: 0.50, 2: 0.60},
    # +.10 +.20 +.30: deviation .1, interval .2 -+ 4.303 * .1 / sqrt(3)
    ("multitask", 4): {0: 0.50, 1: 0.70, 2: 0.90},
    # +.20 +.21 +.22 over scratch; +.10 +.01 -.08 over multitask: deviation .09, .01 -+ 4.303 * .09 / sqrt(3)
    ("simclr", 4): {0: 0.60, 1: 0.71, 2: 0.82},
}


def test_every_method_is_compared_with_scratch_and_with_multitask():
    tables, page = section(SCORES)
    header = ["labelled exams", "mean", "standard deviation", "95 % interval", "draws that gained", "each draw"]
    assert tables["Paired differences in mean Dice"] == [
        header,
        ["4, multitask less scratch", "+0.200", "0.100", "-0.048 to +0.448", "3 of 3", "+0.100 +0.200 +0.300"],
        ["4, SimCLR less scratch", "+0.210", "0.010", "+0.185 to +0.235", "3 of 3", "+0.200 +0.210 +0.220"],
    ]
    assert tables["Paired differences in mean Dice from multitask"] == [
        header,
        ["4, SimCLR less multitask", "+0.010", "0.090", "-0.214 to +0.234", "2 of 3", "+0.100 +0.010 -0.080"],
    ]
    words = re.findall(r"do not decide between the two \(the interval holds zero\): ([^<]*)\.<", page.html(""))
    assert words == ["4, multitask less scratch", "4, SimCLR less multitask"]


def test_of_scratch_and_multitask_alone_there_is_one_table():
    tables, _ = section({key: draws for key, draws in SCORES.items() if key[0] != "simclr"})
    assert list(tables) == ["Paired differences in mean Dice"]


def test_one_draw_has_no_interval_and_decides_nothing():
    tables, page = section({("none", 1): {0: 0.4}, ("multitask", 1): {0: 0.7}})
    assert tables["Paired differences in mean Dice"][1][1:4] == ["+0.300", "-", "-"]
    assert "do not decide" in page.html("")
    assert "<img" not in page.html(""), "lines between single draws"
    _, page = section(SCORES)
    assert "<img" in page.html("")


def test_differences_no_larger_than_those_of_two_seeds_are_named():
    # pretrained again: 0 -.10 -.05, deviation .05, half the interval 4.303 * .05 / sqrt(3); with 1 labelled exam +.02
    scores = SCORES | {
        ("multitask_again", 4): {0: 0.50, 1: 0.60, 2: 0.85},
        ("multitask", 1): {0: 0.30},
        ("multitask_again", 1): {0: 0.32},
        ("none", 1): {0: 0.29},
        ("simclr", 1): {0: 0.33},
        # +.10 over scratch and -.10 over multitask: more than the seeds' mean difference, and within half their interval
        ("byol", 4): {0: 0.50, 1: 0.60, 2: 0.70},
    }
    _, page = section(scores, {"multitask_again": "multitask"})
    (note,) = re.findall(r"<p class=note>(multitask again is [^<]*)</p>", page.html(""))
    assert note == (
        "multitask again is multitask, pretrained again from another seed, so that they differ by chance alone: in mean Dice "
        "by +0.020 with 1 labelled (one draw); -0.050 with 4 labelled (95 % interval -0.174 to +0.074). What another seed "
        "may change is then known no better than to 0.020 with 1 labelled; 0.124 with 4 labelled (the mean or half the "
        "interval, whichever is larger). No larger than that: 1, multitask less scratch; 4, BYOL less scratch; 4, SimCLR "
        "less multitask; 4, BYOL less multitask."
    )
    assert "pretrained again" not in section(scores)[1].html("")


def test_seeds_that_agree_on_average_and_in_no_draw_leave_much_to_chance():
    # +.10 -.10 0: half the interval is 4.303 * .1 / sqrt(3) = .248
    scores = {key: SCORES[key] for key in (("none", 4), ("multitask", 4))}
    scores["again", 4] = {0: 0.60, 1: 0.60, 2: 0.90}
    page = section(scores, {"again": "multitask"})[1].html("")
    assert (
        "no better than to 0.248 with 4 labelled" in page and "No larger than that: 4, multitask less scratch." in page
    )


def test_larger_differences_are_said_to_be_larger():
    scores = {("none", 4): {0: 0.4}, ("multitask", 4): {0: 0.7}, ("again", 4): {0: 0.71}}
    assert "All differences above are larger than that." in section(scores, {"again": "multitask"})[1].html("")


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        ({"pretext": "multitask", "overrides": {"pretrain": {"seed": 1}}}, {"again": "multitask"}),
        ({"pretext": "multitask", "overrides": {"pretrain": {"seed": 1, "sigma": 12}}}, {"again": "wide"}),
        ({"pretext": "multitask", "overrides": {"pretrain": {"seed": 1}, "finetune": {"spacing": 2}}}, {}),
        ({"pretext": "location", "overrides": {"pretrain": {"seed": 1}}}, {}),
        ({"pretext": "multitask", "overrides": {"pretrain": {"max_epochs": 9}}}, {}),
    ],
)
def test_a_method_repeats_another_when_the_seed_of_pretraining_alone_differs(tmp_path, again, expected):
    wide = {"pretext": "multitask", "overrides": {"pretrain": {"sigma": 12}}}
    methods = {"none": {}, "multitask": {"pretext": "multitask"}, "wide": wide, "again": again}
    assert study_folder(tmp_path, methods=methods).repeats == expected


def test_a_study_whose_methods_are_names_repeats_none(tmp_path):
    assert study_folder(tmp_path).repeats == {}
