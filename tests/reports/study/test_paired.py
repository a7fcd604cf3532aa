"""Test paired differences from the runs without pretraining and from multitask, and the verdict on each."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from planewise.reports.study import paired
from planewise.reports.study.page import Page

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
    header = [
        "labelled exams",
        "mean",
        "standard deviation",
        "95 % interval",
        "draws that gained",
        "each draw",
        "verdict",
    ]
    assert tables["Paired differences in mean Dice"] == [
        header,
        [
            "4, multitask minus scratch",
            "+0.200",
            "0.100",
            "-0.048 to +0.448",
            "3 of 3",
            "+0.100 +0.200 +0.300",
            "inconclusive",
        ],
        ["4, SimCLR minus scratch", "+0.210", "0.010", "+0.185 to +0.235", "3 of 3", "+0.200 +0.210 +0.220", "better"],
    ]
    assert tables["Paired differences in mean Dice from multitask"] == [
        header,
        [
            "4, SimCLR minus multitask",
            "+0.010",
            "0.090",
            "-0.214 to +0.234",
            "2 of 3",
            "+0.100 +0.010 -0.080",
            "inconclusive",
        ],
    ]
    # half-widths of the intervals: .248 and .025, whose median is .137; and .224
    said = re.findall(r"more than ([.\d]+) to either side.*?(\d of \d) intervals exclude", page.html(""))
    assert said == [("0.137", "1 of 2"), ("0.224", "0 of 1")]


def test_verdicts_from_few_draws_are_said_to_be_weak():
    few = section(SCORES)[1].html("")
    assert "With fewer than 5 draws (here 3), an interval may be short by chance" in few
    assert (
        "neither the choice of the test exams nor the seed of a pretraining, and if draws share labelled exams" in few
    )
    five = {("none", 4): dict.fromkeys(range(5), 0.4), ("multitask", 4): {draw: 0.5 + draw / 10 for draw in range(5)}}
    assert "fewer than" not in section(five)[1].html("")


def test_the_words_at_the_top_say_which_verdicts_are_weak():
    def lead(draws):
        page = Page()
        none = dict.fromkeys(range(9), 0.4)
        gains = {name: {draw: 0.5 + draw / 100 for draw in range(number)} for name, number in draws.items()}
        paired.add_paired(
            page, {("none", 4): none} | {(name, 4): gain for name, gain in gains.items()}, "Dice", lead=True
        )
        return page.html("")

    assert "<li>4 labelled exams (weak verdicts, from 3 and 4 draws): better: location" in lead(
        {"location": 3, "byol": 4}
    )
    assert "<li>4 labelled exams (some weak verdicts, from 3 draws): better:" in lead({"location": 3, "byol": 5})
    assert "<li>4 labelled exams: better: location" in lead({"location": 5, "byol": 6})
    assert "weak" not in lead({"location": 1})


def test_of_scratch_and_multitask_alone_there_is_one_table():
    tables, _ = section({key: draws for key, draws in SCORES.items() if key[0] != "simclr"})
    assert list(tables) == ["Paired differences in mean Dice"]


def test_one_draw_has_no_interval_and_measures_nothing():
    tables, page = section({("none", 1): {0: 0.4}, ("multitask", 1): {0: 0.7}})
    assert tables["Paired differences in mean Dice"][1][1:] == [
        "+0.300",
        "-",
        "-",
        "1 of 1",
        "+0.300",
        "no verdict from one draw",
    ]
    assert "so there is no verdict" in page.html("") and "exclude zero" not in page.html("")
    assert "<img" not in page.html(""), "there is no picture for single draws"
    _, page = section(SCORES)
    assert "<img" in page.html("")


def test_longer_trainings_are_compared_with_a_control_of_the_same_length():
    long = {(f"{method}_long", count): draws for (method, count), draws in SCORES.items() if method != "simclr"}
    page = Page()
    found = paired.add_paired(page, SCORES | long, "mean Dice")
    assert [one.other for one in found if one.method == "multitask_long"] == ["none_long"]
    assert {one.other for one in found if one.method == "none_long"} == {"none", "multitask"}


def test_more_draws_narrow_an_interval_only_where_there_is_one():
    def lead(scores):
        page = Page()
        paired.add_paired(page, scores, "mean Dice", lead=True)
        return page.html("")

    one = lead({("none", 1): {0: 0.4}, ("multitask", 1): {0: 0.7}})
    assert "narrow the interval" not in one and "A single draw has no interval" in one
    assert "narrow the interval" in lead(SCORES)
    # more draws are of no use if the ones at hand decide
    decided = lead({("none", 1): {0: 0.4, 1: 0.4}, ("multitask", 1): {0: 0.7, 1: 0.7001}})
    assert "excludes zero." in decided and "narrow" not in decided


AGAIN = "Another seed: differences in mean Dice"


def verdict(scores, repeats):
    """The table of another seed, and the page's note under it."""
    tables, page = section(scores, repeats)
    (note,) = re.findall(r"<p class=note>(Each row is a method that was pretrained again[^<]*)</p>", page.html(""))
    return tables[AGAIN][1:], note


def test_one_pair_of_seeds_is_shown_without_a_bound():
    scores = SCORES | {
        ("multitask_again", 4): {0: 0.50, 1: 0.60, 2: 0.85},
        ("multitask", 1): {0: 0.30},
        ("multitask_again", 1): {0: 0.32},
    }
    rows, note = verdict(scores, {"multitask_again": "multitask"})
    assert rows == [["4, multitask again", "-0.050", "-0.174 to +0.074"], ["1, multitask again", "+0.020", "-"]]
    assert note == (
        "Each row is a method that was pretrained again from another seed, minus the first run of this method: they differ "
        "only by chance. If an interval excludes zero, a verdict on this method holds for one pretraining, and not for the "
        "method. One pair of seeds is too few to say how much another seed may change other differences."
    )
    assert AGAIN not in section(scores)[0], "without repeated methods, there is no such table"


def test_several_methods_with_two_seeds_make_one_measure():
    # two methods whose seeds are .03 and -.04 apart: 4.303 * sqrt((.03^2 + .04^2) / 2) = .152, of one pretraining .108
    scores = SCORES | {
        ("multitask_again", 4): {draw: value + 0.03 for draw, value in SCORES["multitask", 4].items()},
        ("simclr_again", 4): {draw: value - 0.04 for draw, value in SCORES["simclr", 4].items()},
    }
    rows, note = verdict(scores, {"multitask_again": "multitask", "simclr_again": "simclr"})
    assert [row[:2] for row in rows] == [["4, multitask again", "+0.030"], ["4, SimCLR again", "-0.040"]]
    assert note.startswith(
        "Each row is a method that was pretrained again from another seed, minus the first run of this method: they differ "
        "only by chance. An estimate from these pairs: in 95 % of pretrainings, a method's mean Dice is within 0.108 with 4 "
        "labelled of its mean over all seeds. Two seeds of a method differ by at most 0.152 with 4 labelled in 95 % of cases,"
    )
    # SimCLR again, which is +.170 over scratch, is not listed
    assert note.endswith("larger than the bound for their pretrainings: with 4 labelled, SimCLR minus scratch.")
    # with a single exam, only one method was repeated, and BYOL's +.105 is significant but no larger
    one_more = {
        ("multitask", 1): {0: 0.3, 1: 0.4},
        ("multitask_again", 1): {0: 0.3, 1: 0.4},
        ("none", 1): {0: 0.1, 1: 0.2},
    }
    byol = {("byol", 4): {draw: value + 0.105 for draw, value in SCORES["none", 4].items()}}
    _, other = verdict(scores | one_more | byol, {"multitask_again": "multitask", "simclr_again": "simclr"})
    assert other == note


def test_rows_are_named_by_their_number_of_labelled_exams():
    rows = [(1, "simclr", "none"), (4, "byol", "none"), (4, "vgg16_full_full", "none"), (9, "byol", "simclr")]
    rows.append((9, "byol", "none"))
    said = (
        "with 1 labelled, SimCLR minus scratch; with 4 labelled, BYOL minus scratch and VGG (full-full) minus scratch; "
        "with 9 labelled, BYOL minus SimCLR and BYOL minus scratch"
    )
    assert paired._by_labels(paired.Compared(*row) for row in rows) == said


@pytest.mark.parametrize(
    ("gain", "lower", "said"), [(0.2, False, "better"), (0.2, True, "worse"), (-0.2, True, "better")]
)
def test_a_distance_is_better_where_it_is_lower(gain, lower, said):
    tables, _ = tables_of(
        SimpleNamespace(
            add=lambda page, study: paired.add_paired(
                page,
                {("none", 4): {0: 1.0, 1: 2.0}, ("a", 4): {0: 1.0 + gain, 1: 2.01 + gain}},
                "distance",
                None,
                lower,
            )
        ),
        None,
    )
    assert tables["Paired differences in distance"][1][-1] == said


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


def test_the_page_begins_with_the_verdicts():
    """Each number of labelled exams has its line; the numbers behind the verdicts are kept for a table."""
    scores = SCORES | {("none", 1): {0: 0.4}, ("multitask", 1): {0: 0.3}}
    page, whole = Page(), Page()
    page.add("<h2>A section</h2>")
    paired.add_paired(page, scores, "mean Dice", lead=True)
    whole.extend(page)
    text = whole.html("a study")
    assert "<li>1 labelled exam: no verdict from one draw: multitask (-0.100)</li>" in text
    assert (
        "<li>4 labelled exams (weak verdicts, from 3 draws): better: SimCLR (+0.210); inconclusive: multitask (+0.200)</li>"
        in text
    )
    assert (
        text.index("Gain in mean Dice over training from scratch") < text.index("data:image") < text.index("A section")
    )
    (row,) = [row for row in whole.differences if row["method"] == "simclr" and row["baseline"] == "none"]
    assert row["table"] == "Paired differences in mean Dice" and row["labelled_exams"] == 4 and row["draws"] == 3
    assert [row["mean"], row["low"], row["high"]] == pytest.approx([0.21, 0.1852, 0.2348], abs=1e-4)
    assert row["verdict"] == "better"
    assert [row["low"] for row in whole.differences if row["labelled_exams"] == 1] == [None]
