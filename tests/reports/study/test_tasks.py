"""Test every cell of the sections about fine-tunings against values worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from planewise.workshop.study.folder import FineTunings
from planewise.workshop.study.tasks import add_tasks

from tests.reports.study.studies import study_folder, tables_of, write

NAMES = ("RV", "myocardium", "LV")


def metrics(dice, assd, missed, fractions=()):
    """Scores of 10 volumes of 5 exams: over all structures, then for each of them."""

    def scores(place):
        values = {"dice": dice[place], "assd_mm": assd[place]}
        return {key: {"mean": value, "sd": 0.1} for key, value in values.items()}

    structures = {name: scores(place) | {"missed": 7} for place, name in enumerate(NAMES, 1)}
    for name, (distance, error) in zip(("RV", "LV"), fractions, strict=False):
        structures[name] |= {
            "ejection_fraction_distance_pct": {"mean": distance},
            "ejection_fraction_error_pct": {"mean": error},
        }
    return {"volumes": 10, "exams": 5, "mean": scores(0) | {"missed": missed}, "structures": structures}


@pytest.fixture
def segmentation(tmp_path):
    runs = {
        ("none", 0): metrics([0.4, 0.2, 0.4, 0.6], [6.0, 8.0, 6.0, 4.0], 3, [(4.0, 3.0), (2.0, -1.0)]),
        ("none", 2): metrics([0.6, 0.4, 0.6, 0.8], [6.2, None, 6.0, 4.2], 2, [(None, None), (3.0, -2.0)]),
        ("multitask", 0): metrics([0.7, 0.6, 0.7, 0.8], [3.0, 4.0, 3.0, 2.0], 0),
        ("multitask", 1): metrics([0.9, 0.8, 0.9, 1.0], [3.0, 4.0, 3.0, 2.0], 1),
        ("multitask", 2): metrics([0.65, 0.55, 0.65, 0.75], [3.0, 4.0, 3.0, 2.0], 0),
    }
    for (method, draw), content in runs.items():
        write(tmp_path / f"finetune/{method}/4/{draw}/test/metrics.json", content)
    return study_folder(tmp_path)


def test_dice_and_distances_of_each_structure(segmentation):
    tables, page = tables_of(add_tasks, segmentation)
    dice, distance, fractions, paired = tables.values()
    assert dice[0] == distance[0] == ["labelled exams, method", "mean", *NAMES, "missed"]
    # 5 structures are missed of 2 x 10 volumes x 3 structures
    assert dice[1] == [
        "4, from scratch", "0.500 (0.141)", "0.300 (0.141)", "0.500 (0.141)", "0.700 (0.141)", "5 of 60"
    ]  # fmt: skip
    # 0.7, 0.9, 0.65 differ from 0.75 by -0.05, 0.15 and -0.1: squares 0.035, over 2
    assert dice[2][:2] == ["4, multitask", "0.750 (0.132)"] and dice[2][-1] == "1 of 90"
    # RV was found in only one draw
    assert distance[1][1:3] == ["6.100 (0.141)", "8.000"]
    assert fractions[:2] == [
        ["labelled exams, method", "RV", "LV", "RV, bias", "LV, bias"],
        ["4, from scratch", "4.0", "2.5 (0.7)", "3.0", "-1.5 (0.7)"],
    ]
    # draw 0: 0.7 - 0.4, draw 2: 0.65 - 0.6; draw 1 has no counterpart. Deviation: 0.25 / sqrt(2)
    assert paired[1:] == [
        ["4, multitask minus scratch", "+0.175", "0.177", "-1.413 to +1.763", "2 of 2", "+0.300 +0.050", "inconclusive"]
    ]
    assert "10 volumes of 5 test exams" in page.html("")


@pytest.fixture
def findings(tmp_path):
    runs = {
        ("none", 80, 0): (0.5, {"acl": 0.4, "meniscus": 0.6}),
        ("none", 80, 1): (0.6, {"acl": 0.5, "meniscus": 0.7}),
        ("multitask", 16, 0): (0.7, {"acl": 0.9, "meniscus": 0.5}),
        ("multitask", 80, 1): (0.9, {"acl": 0.8, "meniscus": 1.0}),
        ("multitask", 80, 2): (None, {"acl": None, "meniscus": 0.3}),
    }
    for (method, count, draw), (mean, auc) in runs.items():
        content = {"exams": 30, "macro_auc": mean, "auc": auc, "positives": {"acl": 7, "meniscus": 11}}
        write(tmp_path / f"finetune/{method}/{count}/{draw}/test/metrics.json", content)
    return study_folder(tmp_path, anatomy="knee")


def test_tasks_and_draws_are_counted_apart(findings):
    tables, _ = tables_of(add_tasks, findings)
    header, *rows = tables["Mean AUC, by the number of labelled exams"]
    assert header == ["method", "16", "80"]
    # 0.5 and 0.6: 0.1 / sqrt(2) wide
    assert rows == [["from scratch", "-", "0.550 (0.071)"], ["multitask", "0.700", "0.900"]]
    assert tables["AUC of each task"] == [
        ["labelled exams, method", "acl", "meniscus", "draws"],
        ["16, multitask", "0.900", "0.500", "1"],
        ["80, from scratch", "0.450 (0.071)", "0.650 (0.071)", "2"],
        # only one of two draws has an AUC for acl; 1.0 and 0.3 have a deviation of 0.7 / sqrt(2)
        ["80, multitask", "0.800", "0.650 (0.495)", "2"],
    ]
    assert "AUC of each class" not in tables, "two phases have a macro AUC, too"


@pytest.fixture
def grades(tmp_path):
    kappas = {"none": {9: (0.2, None), 179: (0.8, 0.9)}, "rotation": {9: (0.4, 0.6), 179: (0.9, 0.8)}}
    for method, counts in kappas.items():
        for count, draws in counts.items():
            for draw, kappa in enumerate(draws):
                folder = tmp_path / f"finetune/{method}/{count}/{draw}"
                content = {"kappa": kappa, "accuracy": 0.5, "distance": 0.75, "photographs": 56}
                content |= {"recall": {"none": 1.0, "mild": None}, "confusion": [[2, 0], [0, 0]]}
                write(folder / "test/metrics.json", content)
    methods = {"none": {}, "rotation": {"pretext": "rotation"}}
    return study_folder(tmp_path, anatomy="photograph", pretexts=["rotation"], methods=methods)


def test_grades(grades):
    tables, page = tables_of(add_tasks, grades)
    rows = tables["Kappa, by the number of graded photographs (Fig. 4)"]
    assert rows[0] == ["method", "9", "179"]
    # draws 0.1 and 0.2 apart have deviations of 0.05 sqrt(2) and 0.1 sqrt(2); a draw without a kappa is left out
    assert rows[1:] == [["from scratch", "0.200", "0.850 (0.071)"], ["rotation", "0.500 (0.141)", "0.850 (0.071)"]]
    rows = tables["Share of each true grade that was predicted correctly"]
    assert rows[0][1:3] == ["none", "mild"] and rows[1][0] == "9, from scratch" and rows[1][-1].startswith("0.750")
    paired = tables["Paired differences in kappa"]
    assert paired[1][0] == "9, rotation minus scratch" and "+0.200" in paired[1]
    assert "56 photographs were graded" in page.html("")


@pytest.fixture
def two_phases(tmp_path):
    for method, scores in {"vgg16_none_full": [0.50, 0.60], "vgg16_full_full": [0.55, None]}.items():
        for draw, auc in enumerate(scores):
            folder = tmp_path / f"finetune/{method}/56/{draw}"
            content = {"macro_auc": auc, "auc": {"NOR": auc, "DCM": 0.5}, "accuracy": 0.25, "exams": 30}
            write(folder / "test/metrics.json", content | {"confusion": [[1, 0], [0, 1]]})
    target = {"bundle": "downstream_cardiac_two_phase_classification", "arguments": "--fold {draw}"}
    methods = {"vgg16_none_full": {"name": "VGG (none-full)"}, "vgg16_full_full": {"against": ["vgg16_none_full"]}}
    return study_folder(tmp_path, pretexts=[], methods=methods, target=target)


def test_every_method_has_its_classes(two_phases):
    tables, page = tables_of(add_tasks, two_phases)
    assert tables["AUC of each class"][:2] == [
        ["labelled exams, method", "macro AUC", "NOR", "DCM", "accuracy", "test exams", "draws"],
        ["56, VGG (none-full)", "0.550 (0.071)", "0.550 (0.071)", "0.500 (0.000)", "0.250 (0.000)", "30", "2"],
    ]
    assert "A draw is a fold" in page.html("")
    rows = tables["Paired differences in macro AUC"][1:]
    assert [row[:2] for row in rows] == [["56, vgg16 full full minus VGG (none-full)", "+0.050"]]


def test_other_studies_have_no_such_section(tmp_path):
    write(tmp_path / "finetune/none/4/0/test/metrics.json", {"mean": {"dice": 0.5}})
    assert tables_of(add_tasks, study_folder(tmp_path, methods={"none": {}}))[0] == {}


def test_a_score_of_zero_is_a_score():
    draws = {draw: {"kappa": kappa} for draw, kappa in enumerate((0.0, None, 0.5))}
    runs = FineTunings(SimpleNamespace(methods=("none",)), {("none", 9): draws})
    assert runs.values(lambda content: content["kappa"]) == {("none", 9): {0: 0.0, 2: 0.5}}
