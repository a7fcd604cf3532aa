"""Test every cell of the section about segmentation against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from planewise.reports.segmentation_figures import SHOWN_SLICES, ShownSlice, write_shown_slices
from planewise.reports.tables import write_csv
from planewise.workshop.study import segmentation
from planewise.workshop.study.segmentation import add_segmentation

from tests.reports.study.studies import study_folder, tables_of, write

NAMES = ("RV", "myocardium", "LV")


def metrics(dice, assd, missed, never=()):
    """Scores of 10 volumes of 5 exams: over all structures, then for each of them; every standard deviation is 0.1."""

    def scores(place):
        values = {"dice": dice[place], "assd_mm": assd[place]}
        return {key: {"mean": value, "sd": None if value is None else 0.1} for key, value in values.items()}

    structures = {name: scores(place) | {"missed": 7} for place, name in enumerate(NAMES, 1)}
    mean = scores(0) | {"missed": missed, "assd_missed_1_mm": {"mean": assd[0] - 1, "sd": 0.1}}
    mean["missed_share"] = missed / 30
    return {"volumes": 10, "exams": 5, "mean": mean, "structures": structures, "never_predicted": list(never)}


@pytest.fixture
def study(tmp_path):
    runs = {
        ("none", 0): metrics([0.4, 0.2, 0.4, 0.6], [6.0, 8.0, 6.0, 4.0], 3),
        ("none", 2): metrics([0.6, 0.4, 0.6, 0.8], [6.2, None, 6.0, 4.2], 2, ["RV"]),
        ("multitask", 0): metrics([0.7, 0.6, 0.7, 0.8], [3.0, 4.0, 3.0, 2.0], 0),
        ("multitask", 1): metrics([0.9, 0.8, 0.9, 1.0], [3.0, 4.0, 3.0, 2.0], 1),
        ("multitask", 2): metrics([0.65, 0.55, 0.65, 0.75], [3.0, 4.0, 3.0, 2.0], 0),
    }
    for (method, draw), content in runs.items():
        write(tmp_path / f"finetune/{method}/4/{draw}/test/metrics.json", content)
    return study_folder(tmp_path)


def test_dice_and_distance_with_the_papers_structure_by_structure(study):
    tables, page = tables_of(add_segmentation, study)
    dice, distance, _ = tables.values()
    assert dice[0] == ["labelled exams, method", "mean", *NAMES, "missed"]
    assert distance[0] == ["labelled exams, method", "mean", "mean, 1.0 mm where missed", *NAMES, "missed"]
    # the paper's rows with 1 exam are left out; the two draws differ by 0.2 and each has a deviation of
    # 0.1, so the deviation is sqrt(0.01 + 0.01); 5 structures are missed of 2 x 10 volumes x 3 structures
    assert dice[1] == [
        "4, from scratch", "0.500 (0.141)", "0.300 (0.141)", "0.500 (0.141)", "0.700 (0.141)", "5 of 60"
    ]  # fmt: skip
    # 0.7, 0.9, 0.65: the mean is 0.75, and the variance of the means (0.0025 + 0.0225 + 0.01) / 3
    assert dice[2][:2] == ["4, multitask", "0.750 (0.147)"] and dice[2][-1] == "1 of 90"
    # RV was found in only one draw
    assert distance[1] == [
        "4, from scratch",
        "6.10 (0.14)",
        "5.10 (0.14)",
        "8.00 (0.10)",
        "6.00 (0.10)",
        "4.10 (0.14)",
        "5 of 60",
    ]


@pytest.mark.parametrize(("missed", "cell"), [(15, "3.00 (0.10)"), (16, "-")])
def test_a_network_that_finds_nothing_has_no_good_distance(missed, cell, tmp_path):
    """1.0 mm for each missed structure would be better than any distance that was measured."""
    content = metrics([0.1] * 4, [4.0] * 4, missed)
    write(tmp_path / "finetune/none/4/0/test/metrics.json", content)
    _, distance, *_ = tables_of(add_segmentation, study_folder(tmp_path))[0].values()
    assert next(row for row in distance if row[0] == "4, from scratch")[1:3] == ["4.00 (0.10)", cell]


def test_a_draw_that_missed_more_counts_less_in_the_distance(tmp_path):
    # of 30 structures: 29 found at 2 mm, and 1 found at 20 mm: 78 mm of 30
    for draw, (distance, missed) in enumerate([(2.0, 1), (20.0, 29)]):
        content = metrics([0.5] * 4, [distance] * 4, missed)
        write(tmp_path / f"finetune/none/4/{draw}/test/metrics.json", content)
    tables, _ = tables_of(add_segmentation, study_folder(tmp_path))
    (row,) = (row for row in list(tables.values())[1] if row[0] == "4, from scratch")
    assert row[1].startswith("2.60 (") and row[2] == "-"


def test_structures_without_a_slice_in_common_are_counted(tmp_path):
    """They have no contour distance, so a method with the worst predictions had the better mean."""
    for method, known in {"none": 28, "multitask": 25}.items():
        content = metrics([0.5] * 4, [5.0] * 4, 2)
        for entry in (content["mean"], *content["structures"].values()):
            entry |= {"contour_mm": {"mean": 2.0, "sd": 0.1}, "contours": known}
        write(tmp_path / f"finetune/{method}/4/0/test/metrics.json", content)
    tables, _ = tables_of(add_segmentation, study_folder(tmp_path))
    (rows,) = (table for title, table in tables.items() if title.startswith("Mean contour distance (mm"))
    assert [[row[1], *row[-2:]] for row in rows] == [
        ["mean", "missed", "no slice in common"],
        ["2.00 (0.10)", "2 of 30", "0 of 30"],
        ["2.00 (0.10)", "2 of 30", "3 of 30"],
    ]


def with_contours(dice, contour):
    """A run's scores with a mean contour distance of all structures and of each."""
    content = metrics(dice, [5.0] * 4, 0)
    for entry, distance in zip((content["mean"], *content["structures"].values()), contour, strict=True):
        entry |= {"contour_mm": {"mean": distance, "sd": 0.1}, "contours": 0 if distance is None else 10}
    return content


def test_contour_distances_are_compared_too_and_less_is_a_gain(tmp_path):
    distances = {"none": (9.0, 6.0, 8.0, 3.0), "multitask": (5.0, 7.0, 7.5, None)}
    for method, values in distances.items():
        for draw, distance in enumerate(values):
            content = with_contours([0.5] * 4, [distance] * 4)
            write(tmp_path / f"finetune/{method}/4/{draw}/test/metrics.json", content)
    tables, page = tables_of(add_segmentation, study_folder(tmp_path))
    # -4, +1 and -0.5: mean -3.5 / 3, deviation sqrt(79 / 12); in the last draw, no contour was found
    (row,) = tables["Paired differences in mean contour distance (mm)"][1:]
    assert row[:3] == ["4, multitask minus scratch", "-1.167", "2.566"] and row[-3:] == [
        "2 of 3",
        "-4.000 +1.000 -0.500",
        "inconclusive",
    ]
    captions = [picture.caption for picture in page.pictures]
    assert sum("minus training from scratch with the same labelled exams" in caption for caption in captions) == 1, (
        "only Dice has this picture"
    )


def of_volumes(path, volumes):
    """Write the scores of a run whose volumes have these contour distances in RV and LV, NaN where it missed them."""
    columns = {"exam": [f"e{number}" for number in range(len(volumes))], "phase": ["ED"] * len(volumes)}
    content = with_contours([0.5] * 4, [5.0] * 4)
    del content["structures"]["myocardium"]
    for place, name in enumerate(("RV", "LV")):
        distances = [volume[place] for volume in volumes]
        columns |= {f"{name}_dice": [0.5] * len(volumes), f"{name}_contour_mm": distances}
    content["mean"]["contour_mm"]["mean"] = float(np.nanmean(volumes))
    write(path / "metrics.json", content)
    write_csv(path / "volumes.csv", columns)


NONE = math.nan
PAIRED = "Paired differences in mean contour distance (mm)"


def test_missing_a_structure_is_no_gain_in_distance(tmp_path):
    """Only scratch finds the LV, 60 mm or more away, which raises scratch's mean; in the RV, the other method is worse."""
    for draw in (0, 1):
        of_volumes(tmp_path / f"finetune/none/4/{draw}/test", [[5.0, 60.0], [6.0, 66.0]])
        of_volumes(tmp_path / f"finetune/multitask/4/{draw}/test", [[7.0 + draw, NONE], [8.0 + draw, NONE]])
    tables, page = tables_of(add_segmentation, study_folder(tmp_path))
    header, row = tables[PAIRED]
    assert header[4:6] == ["draws that gained", "pairs left out"]
    # 2 and 3 mm: the interval, 2.5 +- 12.706 * 0.5, contains zero
    assert row[1] == "+2.500" and row[4:] == ["0 of 2", "4 of 8", "+2.000 +3.000", "inconclusive"]
    (numbers,) = [row for row in page.differences if row["table"] == PAIRED]
    assert numbers["pairs"] == 8 and numbers["pairs_left_out"] == 4


def test_volumes_are_paired_by_name(tmp_path):
    of_volumes(tmp_path / "finetune/none/4/0/test", [[5.0, 1.0], [6.0, 2.0]])
    path = tmp_path / "finetune/multitask/4/0/test"
    of_volumes(path, [[9.0, 3.0], [NONE, 1.0]])
    file = path / "volumes.csv"
    file.write_text(file.read_text().replace("e0", "e2").replace("e1", "e0").replace("e2", "e1"))
    (row,) = tables_of(add_segmentation, study_folder(tmp_path))[0][PAIRED][1:]
    # e0: LV 1 - 1; e1: RV 9 - 6 and LV 3 - 2
    assert row[1] == "+1.333" and row[5] == "1 of 4"


def test_too_few_pairs_have_no_verdict(tmp_path):
    for draw in (0, 1):
        of_volumes(tmp_path / f"finetune/none/4/{draw}/test", [[5.0, 60.0], [6.0, 66.0]])
        of_volumes(tmp_path / f"finetune/multitask/4/{draw}/test", [[7.0 + draw / 100, NONE], [NONE, NONE]])
    tables, page = tables_of(add_segmentation, study_folder(tmp_path))
    (row,) = tables[PAIRED][1:]
    assert row[3:6] == ["+1.941 to +2.069", "0 of 2", "6 of 8"] and row[-1] == "- (too few pairs)"
    # its interval is not counted among those with a verdict
    assert "1 of 1 intervals exclude zero" not in page.html("")
    for draw in (0, 1):
        of_volumes(tmp_path / f"finetune/multitask/4/{draw}/test", [[NONE, 3.0], [NONE, NONE]])
        of_volumes(tmp_path / f"finetune/none/4/{draw}/test", [[5.0, NONE], [6.0, 66.0]])
    tables, page = tables_of(add_segmentation, study_folder(tmp_path))
    assert PAIRED not in tables and "No pair is left: 4, multitask minus scratch." in page.html("")


def test_gains_are_of_the_draws_that_both_have(study):
    tables, _ = tables_of(add_segmentation, study)
    # draw 0: 0.7 - 0.4, draw 2: 0.65 - 0.6; draw 1 has no counterpart. Deviation: 0.25 / sqrt(2)
    assert tables["Paired differences in mean Dice"][1:] == [
        ["4, multitask minus scratch", "+0.175", "0.177", "-1.413 to +1.763", "2 of 2", "+0.300 +0.050", "inconclusive"]
    ]


def test_the_same_slices_of_all_methods_are_one_picture(study, monkeypatch):
    shown = []
    monkeypatch.setattr(
        segmentation, "method_comparison", lambda slices, names: shown.append((slices, names)) or study.path / "no.png"
    )
    tables_of(add_segmentation, study)
    assert shown == [], "runs that left no slices have no picture"
    for method, value in (("none", 1), ("multitask", 2)):
        for draw in (0, 1, 2):
            arrays = (np.ones((2, 3)), np.full((2, 3), 3), np.full((2, 3), 10 * draw + value))
            path = study.path / f"finetune/{method}/4/{draw}/test" / SHOWN_SLICES
            path.parent.mkdir(parents=True, exist_ok=True)
            write_shown_slices(path, {"exam ED slice 1": ShownSlice(*arrays)})
    tables_of(add_segmentation, study)
    ((slices, names),) = shown
    assert names == dict(enumerate(NAMES, 1))
    # from draw 0, which both have
    assert {method: int(found["exam ED slice 1"].prediction[0, 0]) for method, found in slices.items()} == {
        "from scratch": 1,
        "multitask": 2,
    }
    # the scores are for regions of several labels; the run's own settings name the labels
    (study.path / "finetune/none/4/0/config.yaml").write_text("structures: {'1': core, '4': enhancing}\n")
    tables_of(add_segmentation, study)
    assert shown[-1][1] == {1: "core", 4: "enhancing"}


def test_the_picture_compares_the_first_method_with_the_three_best(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(
        segmentation, "method_comparison", lambda slices, _: shown.append(list(slices)) or tmp_path / "no.png"
    )
    dice = {"none": 0.1, "location": 0.5, "orientation": 0.3, "multitask": 0.4, "simclr": 0.2}
    for method, value in dice.items():
        folder = tmp_path / f"finetune/{method}/4/0/test"
        write(folder / "metrics.json", metrics([value] * 4, [6.0] * 4, 0))
        write_shown_slices(folder / SHOWN_SLICES, {"one": ShownSlice(*(np.ones((2, 3)) for _ in range(3)))})
    study = study_folder(tmp_path, methods=list(dice), pretexts=list(dice)[1:])
    tables_of(add_segmentation, study)
    assert shown == [["from scratch", "location", "orientation", "multitask"]], "in the study's order"
