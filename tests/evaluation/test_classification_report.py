from __future__ import annotations

import csv
import json

import pytest
import torch
from planewise.evaluation import ClassificationReport

from .passes import keep_figures, pass_over

PROBABILITIES = torch.tensor([[0.9, 0.05, 0.05], [0.3, 0.6, 0.1], [0.4, 0.5, 0.1], [0.2, 0.1, 0.7]])
FEATURES = torch.tensor([[61.0, 170], [55, 180], [20, 165], [33, 190]])
LABELS = torch.tensor([0, 0, 1, 2])
CLASSES = ("NOR", "DCM", "HCM")


def report_of(folder, labelled=True):
    batches = []
    for rows in ([0, 1, 2], [3]):
        batch = {"exam": [f"exam{row}" for row in rows], "image": FEATURES[rows]}
        batches.append(batch | ({"label": LABELS[rows]} if labelled else {}))
    report = ClassificationReport(folder, classes=CLASSES, feature_names=["LV ejection fraction (%)", "height (cm)"])
    found = pass_over(report, batches, [{"pred": PROBABILITIES[:3]}, {"pred": PROBABILITIES[3:]}])
    return found, list(csv.DictReader((folder / "predictions.csv").open()))


def test_scores_by_hand(tmp_path, monkeypatch):
    figures = keep_figures(monkeypatch)
    found, _ = report_of(tmp_path)
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert found == {"report": scores}
    # correctly ranked pairs: 3 of 4, 2 of 3, 3 of 3
    assert scores["auc"] == pytest.approx({"NOR": 3 / 4, "DCM": 2 / 3, "HCM": 1})
    assert scores["macro_auc"] == pytest.approx((3 / 4 + 2 / 3 + 1) / 3)
    assert (scores["accuracy"], scores["exams"]) == (0.75, 4)
    assert scores["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]], "rows are true classes, columns predicted classes"
    curves, matrix = figures["roc.png"].axes
    assert [line.get_label() for line in curves.get_lines()][:3] == ["NOR 0.750", "DCM 0.667", "HCM 1.000"]
    assert curves.get_title() == "mean AUC 0.806"
    assert matrix.get_title() == "4 exams, accuracy 0.75"
    shown = {text.get_position(): text.get_text() for text in matrix.texts}
    assert shown[1, 0] == "1" and shown[0, 1] == "0", "column across, row down"


def test_rows_are_the_exams_own(tmp_path):
    _, rows = report_of(tmp_path)
    assert [row["exam"] for row in rows] == ["exam0", "exam1", "exam2", "exam3"]
    assert [row["true"] for row in rows] == ["NOR", "NOR", "DCM", "HCM"]
    assert [row["predicted"] for row in rows] == ["NOR", "DCM", "DCM", "HCM"]
    for number, row in enumerate(rows):
        assert [float(row[f"p({name})"]) for name in CLASSES] == pytest.approx(PROBABILITIES[number].tolist())
        assert [float(row["LV ejection fraction (%)"]), float(row["height (cm)"])] == FEATURES[number].tolist()


def test_without_labels_there_are_predictions_alone(tmp_path):
    found, rows = report_of(tmp_path, labelled=False)
    assert found == {} and "true" not in rows[0] and rows[1]["predicted"] == "DCM"
    assert {file.name for file in tmp_path.iterdir()} == {"predictions.csv"}
