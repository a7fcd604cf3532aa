"""Test tables and pictures of a diagnosis from two phases against numbers worked out by hand."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from planewise.evaluation import TwoPhaseReport, classification_reports

from .passes import keep_figures, pass_over

CLASSES = ("NOR", "DCM")
#: Probabilities of the first class; the last exam's class is unknown.
PROBABILITIES, LABELS = (0.9, 0.4, 0.8, 0.3, 0.6), (0, 0, 1, 1, -1)
#: As a loader might deal them out.
ORDER = [[3, 0], [2, 1, 4]]


class Exams:
    """Exams of two slices of 4 x 4 pixels at each phase; the brightness is the exam's number."""

    def __init__(self, numbers) -> None:
        self.numbers = list(numbers)
        self.items = [{"exam": f"{number}xam0", "slices": [2, 3]} for number in self.numbers]
        self.labels = torch.tensor([LABELS[number] for number in self.numbers])

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitems__(self, indices):
        image = torch.stack([torch.full((4, 4, 4), float(self.numbers[index])) for index in indices])
        return {"image": image, "index": torch.tensor(indices)}


def maps_of(network, image, output):
    number = int(image[0, 0, 0, 0])
    assert image.shape == (2, 4, 4, 2) and output == int(PROBABILITIES[number] < 0.5)
    return torch.ones(2, 2, 4, 4)


def report(folder, monkeypatch, **settings):
    monkeypatch.setattr(classification_reports, "saliency_maps", maps_of)
    data = Exams(range(5))
    logits = torch.log(torch.tensor([[value, 1 - value] for value in PROBABILITIES]))
    batches = [{"index": torch.tensor(rows)} for rows in ORDER]
    outputs = [{"pred": logits[rows]} for rows in ORDER]
    given = {"dataset": data, "network": torch.nn.Linear(1, 1), "classes": CLASSES, "examples": 2} | settings
    handler = TwoPhaseReport(folder, **given)
    pass_over(handler, batches, outputs)
    return json.loads((folder / "metrics.json").read_text())


def test_scores_of_the_exams_whose_class_is_known(tmp_path, monkeypatch):
    scores = report(tmp_path, monkeypatch)
    # NOR: 0.9 and 0.4 against 0.8 and 0.3: three of four pairs are in the right order; with two classes, the other has the
    # same AUC
    assert scores["macro_auc"] == pytest.approx(0.75) and scores["auc"] == pytest.approx({"NOR": 0.75, "DCM": 0.75})
    assert scores["exams"] == 4 and scores["accuracy"] == 0.5 and scores["confusion"] == [[1, 1], [1, 1]]
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    assert [row["exam"][0] for row in rows] == list("30214")
    assert [row["true"] for row in rows] == ["DCM", "NOR", "DCM", "NOR", ""]
    assert [row["predicted"] for row in rows] == ["DCM", "NOR", "NOR", "DCM", "NOR"]
    assert [float(row["p(NOR)"]) for row in rows] == pytest.approx([0.3, 0.9, 0.8, 0.4, 0.6], abs=1e-5)
    assert [float(row["p(DCM)"]) for row in rows] == pytest.approx([0.7, 0.1, 0.2, 0.6, 0.4], abs=1e-5)
    assert all(row["note"].startswith("Research software: not for diagnosis") for row in rows)
    assert (tmp_path / "roc.png").is_file() and (tmp_path / "saliency.png").is_file()


def test_pictures_are_of_the_surest_exams(tmp_path, monkeypatch):
    figures = keep_figures(monkeypatch)
    report(tmp_path, monkeypatch, examples=3)
    axes = figures["saliency.png"].axes
    assert [text.get_text() for line in axes for text in line.texts] == [
        "ED: NOR 0.90\ntrue: NOR\n0xam0", "ES: NOR 0.90\ntrue: NOR\n0xam0",
        "ED: NOR 0.80\ntrue: DCM\n2xam0", "ES: NOR 0.80\ntrue: DCM\n2xam0",
        "ED: DCM 0.70\ntrue: DCM\n3xam0", "ES: DCM 0.70\ntrue: DCM\n3xam0",
    ]  # fmt: skip
    # all slices have equal influence; their titles give their numbers in the stack
    assert [line.get_title() for line in axes if line.get_title()] == ["slice 3: 50 %", "slice 4: 50 %"] * 6
