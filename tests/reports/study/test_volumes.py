"""Test every cell of the section about volumes against values worked out by hand."""

from __future__ import annotations

import pytest
from planewise.workshop.study.segmentation import add_volumes

from tests.reports.study.studies import study_folder, tables_of, write

METHODS = {"none": {}, "none_2d": {}, "rotation_2d": {"pretext": "rotation"}, "rotation": {"pretext": "rotation"}}
#: Maps each method to the mean Dice of two draws, with 2 and with 40 labelled cases.
DICE = {
    "none": {2: (0.2, 0.4), 40: (0.6, 0.7)},
    "none_2d": {2: (0.1, 0.1), 40: (0.5, 0.5)},
    "rotation_2d": {2: (0.2, 0.3), 40: (0.5, 0.7)},
    "rotation": {2: (0.5, 0.5), 40: (0.8, 0.7)},
}


def metrics(dice, names=("WT", "TC", "ET")):
    """The regions' scores are 0.1 above the mean, equal to it, and 0.1 below it."""
    scores = {
        name: {"dice": {"mean": dice + shift, "sd": 0.2}} for name, shift in zip(names, (0.1, 0.0, -0.1), strict=False)
    }
    return {"volumes": 16, "exams": 16, "mean": {"dice": {"mean": dice, "sd": 0.2}}, "structures": scores}


@pytest.fixture
def study(tmp_path):
    for method, counts in DICE.items():
        for count, draws in counts.items():
            for draw, dice in enumerate(draws):
                folder = tmp_path / f"finetune/{method}/{count}/{draw}"
                write(folder / "test/metrics.json", metrics(dice))
    return study_folder(tmp_path, anatomy="volume", pretexts=["rotation"], methods=METHODS)


def test_shares_of_the_labelled_cases(study):
    tables, _ = tables_of(add_volumes, study)
    rows = tables["Mean Dice, by the number of labelled cases (Figs. 2 and 3)"]
    assert rows[0] == ["method", "2 (5 %)", "40 (100 %)"]
    # two draws 0.2 apart have a deviation of 0.1 sqrt(2)
    assert rows[1] == ["from scratch", "0.300 (0.141)", "0.650 (0.071)"]
    assert [row[0] for row in rows[2:]] == ["from scratch (2D)", "rotation (2D)", "rotation"]


def test_3d_against_2d_and_2d_against_its_own_scratch(study):
    tables, _ = tables_of(add_volumes, study)
    rows = {row[0]: row for row in tables["Paired differences in mean Dice, 3D and 2D"][1:]}
    assert rows["2, rotation minus rotation (2D)"][-2] == "+0.300 +0.200"
    assert rows["40, rotation (2D) minus from scratch (2D)"][-2] == "+0.000 +0.200"
    assert rows["2, from scratch minus from scratch (2D)"][-2] == "+0.100 +0.300"
    assert len(rows) == 6


def test_two_rates_and_shares_of_the_training_cases(tmp_path):
    """A demo with 2 and 10 of 40 cases, two regions, and a lower rate as a control."""
    dice = {"none": (0.5, 0.6), "supervised": (0.6, 0.8), "none_slow": (0.7, 0.7), "supervised_slow": (0.7, 0.9)}
    for method, draws in dice.items():
        for draw, value in enumerate(draws):
            for count in (2, 10):
                content = metrics(value, ("WT", "TC"))
                write(tmp_path / f"finetune/{method}/{count}/{draw}/test/metrics.json", content)
    write(tmp_path / "labelled.json", {"training": [{"exam": f"{number}"} for number in range(40)]})
    methods = {name: {"pretext": "tissues"} if "supervised" in name else {} for name in dice}
    tables, page = tables_of(add_volumes, study_folder(tmp_path, anatomy="volume", methods=methods, pretexts=[]))
    assert tables["Mean Dice, by the number of labelled cases (Figs. 2 and 3)"][0] == ["method", "2 (5 %)", "10 (25 %)"]
    rows = {row[0]: row for row in tables["Paired differences in mean Dice, two rates"][1:]}
    assert rows["2, from scratch minus from scratch (lower rate)"][-2] == "-0.200 -0.100"
    assert rows["10, supervised (lower rate) minus from scratch (lower rate)"][-2] == "+0.000 +0.200"
    assert len(rows) == 6


def test_the_pancreas_has_no_table_of_the_paper_and_hearts_no_section(tmp_path):
    for count, dice in ((2, 0.1), (36, 0.5)):
        content = metrics(dice, ("pancreas", "tumour"))
        write(tmp_path / f"finetune/none/{count}/0/test/metrics.json", content)
    tables, page = tables_of(add_volumes, study_folder(tmp_path, anatomy="volume", methods={"none": {}}, pretexts=[]))
    assert list(tables) == ["Mean Dice, by the number of labelled cases (Figs. 2 and 3)"]
    assert tables_of(add_volumes, study_folder(tmp_path))[0] == {}
