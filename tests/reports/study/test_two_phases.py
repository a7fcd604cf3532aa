"""Test every cell in the section of the diagnosis from two phases against values worked out by hand."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from planewise.reports.tables import write_csv
from planewise.workshop.study.classification import add_classification
from planewise.workshop.study.folder import FineTunings

from tests.reports.study.studies import study_folder, tables_of, write

#: Maps methods to the macro AUC and the epochs to converge of their draws.
RUNS = {
    "vgg16_none_full": ([0.50, 0.60], [9, 10]),
    "vgg16_none_segmented": ([0.60, 0.62], [8, 8]),
    "vgg16_full_full": ([0.70, 0.90], [4, 6]),
    "vgg16_full_segmented": ([0.90, 0.80], [5, 7]),
    "vgg16_segmented_full": ([0.80, 0.70], [3, None]),
    "densenet121_none_full": ([0.55, None], [1, 2]),
}
FOLDS = {"target": {"bundle": "downstream_cardiac_two_phase_classification", "arguments": "--fold {draw}"}}


def finetuned(folder, auc, converged, inside=None):
    """Write the files of a fine-tuning whose lowest loss is in the second epoch."""
    content = {
        "macro_auc": auc,
        "auc": {"NOR": auc, "DCM": 0.5},
        "accuracy": 0.25,
        "confusion": [[1, 0], [0, 1]],
        "exams": 30,
        "epochs": 12,
        "converged_epoch": converged,
    }
    if inside:
        exams = {"ED": 28, "ES": 27 + (inside > 0.3)}
        content["saliency"] = {"exams": exams, "inside": {"ED": inside, "ES": None}, "by_area": {"ED": 0.1, "ES": 0.08}}
    columns = {
        "epoch": [1, 2, 3],
        "train_loss": [1.5] * 3,
        "val_loss": [1.6, 1.2, 1.4],
        "val_auc": [0.9, auc or 0.5, 0.8],
    }
    write_csv(folder / "history.csv", columns)
    write(folder / "test/metrics.json", content)


@pytest.fixture
def study(tmp_path):
    for method, (scores, epochs) in RUNS.items():
        for draw, (auc, converged) in enumerate(zip(scores, epochs, strict=True)):
            folder = tmp_path / f"finetune/{method}/56/{draw}"
            folder.mkdir(parents=True)
            finetuned(folder, auc, converged, {0: 0.2, 1: 0.4}[draw] if method == "vgg16_full_full" else None)
    return study_folder(tmp_path, pretexts=["vgg16_full_full"], methods={name: {} for name in RUNS}, **FOLDS)


def test_the_papers_tables_with_ours_before_its(study):
    tables, page = tables_of(add_classification, study)
    header, *rows = tables["Macro AUC for the classification of whole images (Table 1)"]
    assert header[1:] == ["no pretraining", "ImageNet", "SimCLR, whole images", "SimCLR, hearts alone"]
    # deviations of .1 / sqrt(2) and .2 / sqrt(2); with one draw, only the mean
    assert rows == [
        ["56, VGG", "0.550 (0.071)", "", "0.800 (0.141)", "0.750 (0.071)"],
        ["56, DenseNet", "0.550", "", "", ""],
    ]
    _, *rows = tables["Macro AUC for the classification of hearts alone (Table 2)"]
    assert rows[0] == ["56, VGG", "0.610 (0.014)", "", "0.850 (0.071)", ""]
    header, *rows = tables["Macro AUC, images that SimCLR learns from - images to classify (Table 3)"]
    assert header[2] == "whole images - hearts alone"
    assert rows[0] == ["56, VGG", "0.800 (0.141)", "0.850 (0.071)", "0.750 (0.071)", ""]


def test_every_method_has_its_classes_its_epochs_and_its_saliency(study):
    tables, _ = tables_of(add_classification, study)
    assert tables["AUC of each class"][:2] == [
        ["labelled exams, method", "macro AUC", "NOR", "DCM", "accuracy", "test exams", "draws"],
        ["56, VGG (none-full)", "0.550 (0.071)", "0.550 (0.071)", "0.500 (0.000)", "0.250 (0.000)", "30", "2"],
    ]
    # only one method's exams had masks; the share at end-systole is unknown
    assert tables["Share of saliency inside the heart"] == [
        ["labelled exams, method", "inside, ED", "heart's share of the image, ED", "inside, ES",
         "heart's share of the image, ES", "exams, ED", "exams, ES"],
        ["56, VGG (full-full)", "0.300 (0.141)", "0.100 (0.000)", "-", "0.080 (0.000)", "28", "27 to 28"],
    ]  # fmt: skip


def test_pairs_are_of_one_backbone_and_differ_in_one_thing(study):
    tables, page = tables_of(add_classification, study)
    pretraining = tables["Paired differences in macro AUC between pretrainings"]
    assert [row[0] for row in pretraining[1:]] == [
        "56, VGG (full-full) minus VGG (none-full)",
        "56, VGG (segmented-full) minus VGG (none-full)",
        "56, VGG (segmented-full) minus VGG (full-full)",
        "56, VGG (full-segmented) minus VGG (none-segmented)",
    ]
    # +.2 +.3: deviation .071, .25 -+ 12.706 * .0707 / sqrt(2)
    assert pretraining[1][1:] == ["+0.250", "0.071", "-0.385 to +0.885", "2 of 2", "+0.200 +0.300", "inconclusive"]
    assert pretraining[3][1:] == ["-0.050", "0.212", "-1.956 to +1.856", "1 of 2", "+0.100 -0.200", "inconclusive"]
    assert pretraining[4][5] == "+0.300 +0.180"
    images = tables["Paired differences in macro AUC between images to classify"]
    assert [row[0] for row in images[1:]] == [
        "56, VGG (none-segmented) minus VGG (none-full)",
        "56, VGG (full-segmented) minus VGG (full-full)",
    ]
    assert [row[5] for row in images[1:]] == ["+0.100 +0.020", "+0.200 -0.100"]
    assert len(re.findall("exclude zero; by chance", page.html(""))) == 2


def test_simclr_is_compared_with_a_random_frozen_backbone(study):
    """.90 and .80 against .70 and .75: the gain from pretraining in a backbone that stays frozen."""
    for draw, auc in enumerate((0.7, 0.75)):
        folder = study.path / f"finetune/vgg16_random_segmented/56/{draw}"
        folder.mkdir(parents=True)
        finetuned(folder, auc, 8)
    both = study_folder(study.path, methods={name: {} for name in [*RUNS, "vgg16_random_segmented"]}, **FOLDS)
    rows = {
        row[0]: row
        for row in tables_of(add_classification, both)[0]["Paired differences in macro AUC between pretrainings"]
    }
    assert rows["56, VGG (full-segmented) minus VGG (random-segmented)"][1] == "+0.125"


def test_predicted_masks_are_compared_with_reference_masks(study):
    """.55 and .52 against .60 and .62 show how much reference masks help."""
    for draw, auc in enumerate((0.55, 0.52)):
        folder = study.path / f"finetune/vgg16_none_predicted/56/{draw}"
        folder.mkdir(parents=True)
        finetuned(folder, auc, 8)
    both = study_folder(study.path, methods={name: {} for name in [*RUNS, "vgg16_none_predicted"]}, **FOLDS)
    tables, page = tables_of(add_classification, both)
    assert [row[:2] for row in tables["Paired differences in macro AUC between masks"][1:]] == [
        ["56, VGG (none-predicted) minus VGG (none-segmented)", "-0.075"]
    ]


def test_a_study_with_methods_of_its_own_has_no_paper_beside(tmp_path):
    for method, auc in (("none", 0.5), ("mine", 0.75)):
        folder = tmp_path / f"finetune/{method}/20/0"
        folder.mkdir(parents=True)
        finetuned(folder, auc, 3)
    tables, page = tables_of(add_classification, study_folder(tmp_path, methods=["none", "mine"]))
    assert not [title for title in tables if "Table" in title] and "own data sets" not in page.html("")
    assert tables["Paired differences in macro AUC"][1][:2] == ["20, mine minus scratch", "+0.250"]
    assert [row[0] for row in tables["AUC of each class"][1:]] == ["20, from scratch", "20, mine"]


def test_findings_and_two_phases_are_told_apart(study, tmp_path):
    """Both kinds of runs have a macro AUC, and each section of the page takes only its own kind."""
    assert "AUC of each task" not in tables_of(add_classification, study)[0]
    other = study_folder(tmp_path / "knee", anatomy="knee")
    content = {"exams": 3, "macro_auc": 0.5, "auc": {"acl": 0.5}, "positives": {"acl": 1}}
    write(other.path / "finetune/none/16/0/test/metrics.json", content)
    tables = tables_of(add_classification, other)[0]
    assert "AUC of each task" in tables and "AUC of each class" not in tables


def test_a_score_of_zero_is_a_score():
    draws = {draw: {"kappa": kappa} for draw, kappa in enumerate((0.0, None, 0.5))}
    runs = FineTunings(SimpleNamespace(methods=("none",)), {("none", 9): draws}, {})
    assert runs.values(lambda content: content["kappa"]) == {("none", 9): {0: 0.0, 2: 0.5}}
