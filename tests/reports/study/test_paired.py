"""Paired differences: from scratch, from multitask, and which of them the draws do not decide."""

from __future__ import annotations

import re
from types import SimpleNamespace

from planewise.reports.study import paired

from tests.reports.study.studies import tables_of


def section(scores):
    return tables_of(SimpleNamespace(add=lambda page, study: paired.add_paired(page, scores, "mean Dice")), None)


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
