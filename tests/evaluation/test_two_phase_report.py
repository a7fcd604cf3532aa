"""Test tables and pictures of a diagnosis from two phases against numbers worked out by hand."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from planewise.evaluation import TwoPhaseReport, classification_reports
from planewise.reports.tables import write_csv
from sklearn.linear_model import LogisticRegressionCV

from .passes import keep_figures, pass_over

CLASSES = ("NOR", "DCM")
#: Probabilities of the first class; the last exam's class is unknown.
PROBABILITIES, LABELS = (0.9, 0.4, 0.8, 0.3, 0.6), (0, 0, 1, 1, -1)
#: As a loader might deal them out.
ORDER = [[3, 0], [2, 1, 4]]


class Exams:
    """Exams of two slices of 4 x 4 pixels at each phase; the brightness is the exam's number, and the heart is the first
    row.
    """

    def __init__(self, numbers) -> None:
        self.numbers = list(numbers)
        self.items = [{"exam": f"{number}xam0", "slices": [2, 3]} for number in self.numbers]
        self.labels = torch.tensor([LABELS[number] for number in self.numbers])

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitems__(self, indices):
        heart = torch.zeros(len(indices), 4, 4, 4)
        heart[:, :2, 0] = 1  # end-diastole: the first of four rows
        heart[:, 2:, 0, :2] = 1  # end-systole: half of that row
        heart[[self.numbers[index] == 0 for index in indices], :2] = 1  # exam 0, end-diastole: all
        image = torch.stack([torch.full((4, 4, 4), float(self.numbers[index])) for index in indices])
        return {"image": image, "heart": heart, "index": torch.tensor(indices)}


def maps_of(network, image, output):
    """At end-diastole the whole slice is salient, at end-systole only the heart; but exam 1 depends only on end-diastole, and
    exam 2 on its predicted class.
    """
    number = int(image[0, 0, 0, 0])
    assert image.shape == (2, 4, 4, 2) and output == int(PROBABILITIES[number] < 0.5)
    maps = torch.ones(2, 2, 4, 4)
    maps[1, :, 1:] = maps[1, :, :, 2:] = 0
    maps[1] *= number != 1
    return maps


def report(folder, monkeypatch, masked=(0, 1, 2), **settings):
    monkeypatch.setattr(classification_reports, "saliency_maps", maps_of)
    data = Exams(range(5))
    logits = torch.log(torch.tensor([[value, 1 - value] for value in PROBABILITIES]))
    batches = [{"index": torch.tensor(rows)} for rows in ORDER]
    outputs = [{"pred": logits[rows]} for rows in ORDER]
    masked = None if masked is None else Exams(masked)
    handler = TwoPhaseReport(folder, data, torch.nn.Linear(1, 1), CLASSES, masked, **{"examples": 2} | settings)
    pass_over(handler, batches, outputs)
    return json.loads((folder / "metrics.json").read_text())


def test_scores_of_the_exams_whose_class_is_known(tmp_path, monkeypatch):
    write_csv(tmp_path / "history.csv", {"epoch": [1, 2, 3, 4], "train_loss": [1] * 4, "val_loss": [2.0, 1.0, 1.5, ""]})
    scores = report(tmp_path, monkeypatch, history=tmp_path / "history.csv")
    # NOR: 0.9 and 0.4 against 0.8 and 0.3: three of four pairs are in the right order; with two classes, the other has the
    # same AUC
    assert scores["macro_auc"] == pytest.approx(0.75) and scores["auc"] == pytest.approx({"NOR": 0.75, "DCM": 0.75})
    assert scores["exams"] == 4 and scores["accuracy"] == 0.5 and scores["confusion"] == [[1, 1], [1, 1]]
    assert (scores["epochs"], scores["converged_epoch"]) == (4, 2)
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    assert [row["exam"][0] for row in rows] == list("30214")
    assert [row["true"] for row in rows] == ["DCM", "NOR", "DCM", "NOR", ""]
    assert [row["predicted"] for row in rows] == ["DCM", "NOR", "NOR", "DCM", "NOR"]
    assert [float(row["p(NOR)"]) for row in rows] == pytest.approx([0.3, 0.9, 0.8, 0.4, 0.6], abs=1e-5)
    assert [float(row["p(DCM)"]) for row in rows] == pytest.approx([0.7, 0.1, 0.2, 0.6, 0.4], abs=1e-5)
    assert all(row["note"].startswith("Research software: not for diagnosis") for row in rows)
    assert (tmp_path / "roc.png").is_file() and (tmp_path / "saliency.png").is_file()


@pytest.mark.parametrize("labels", [LABELS, (-1,) * 5], ids=["scores", "predictions"])
def test_the_rows_of_earlier_runs_stay_only_without_scores(labels, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.LABELS", labels)
    (tmp_path / "metrics.json").write_text("{}")
    report(tmp_path, monkeypatch)
    table = tmp_path / "predictions.csv"
    table.write_text(table.read_text().replace("4xam0,", "earlier,"))
    report(tmp_path, monkeypatch)
    exams = [row["exam"] for row in csv.DictReader(table.open())]
    assert exams == [*(["earlier"] if max(labels) < 0 else []), *(f"{number}xam0" for number in (3, 0, 2, 1, 4))]


def test_shares_of_saliency_and_the_exams_behind_them(tmp_path, monkeypatch):
    """A map that is zero everywhere has no share, and its exam does not count."""
    saliency = report(tmp_path, monkeypatch)["saliency"]
    assert saliency["exams"] == {"ED": 3, "ES": 2}
    # shares at end-diastole: 1, 1/4 and 1/4
    assert saliency["inside"] == pytest.approx({"ED": 1 / 2, "ES": 1.0})
    assert saliency["by_area"] == pytest.approx({"ED": 1 / 2, "ES": 2 / 16})
    assert "saliency" not in report(tmp_path, monkeypatch, masked=None)
    assert "saliency" not in report(tmp_path, monkeypatch, masked=())


class Encoders(torch.nn.Module):
    """Frozen encoders whose features are an exam's brightness and an uninformative number."""

    def __init__(self, frozen=("encoder",)) -> None:
        super().__init__()
        self.frozen = frozen
        self.weight = torch.nn.Parameter(torch.ones(1))

    def features(self, image, mask):
        assert image.shape[1:] == (2, 4, 4, 2) and mask.all() and not self.training
        brightness = image[:, 0, 0, 0, 0]
        return torch.stack([1000 + brightness, brightness * 0], dim=1)


class Graded(Exams):
    """Ten training and four test exams: the second half of the training exams and the last two test exams are brighter and of
    the other class.
    """

    def __init__(self, brightness, labels) -> None:
        super().__init__([0] * len(labels))
        self.numbers, self.labels = list(brightness), torch.tensor(labels)

    def __getitems__(self, indices):
        mask = torch.ones(len(indices), 2, dtype=torch.bool)
        return super().__getitems__(indices) | {"label": self.labels[indices], "mask": mask}


def test_a_logistic_regression_on_frozen_features_is_a_control(tmp_path, monkeypatch):
    """The result does not depend on the features' mean; only test exams of known class are scored."""
    monkeypatch.setattr(classification_reports, "saliency_maps", lambda *_: torch.zeros(2, 2, 4, 4))

    def of_1_3(Cs, cv, scoring, max_iter):  # noqa: N803
        """Takes only the arguments that scikit-learn 1.3 has."""
        return LogisticRegressionCV(Cs=Cs, cv=cv, scoring=scoring, max_iter=max_iter)

    monkeypatch.setattr(classification_reports, "LogisticRegressionCV", of_1_3)
    fitted = Graded([0.1 * number for number in range(10)], [0] * 5 + [1] * 5)
    test = Graded([0.0, 0.6, 0.3, 0.9, 0.2], [0, 0, 1, 1, -1])

    def scores(network, exams):
        handler = TwoPhaseReport(tmp_path, test, network.train(), CLASSES, fitted=exams, examples=1)
        pass_over(handler, [{"index": torch.arange(5)}], [{"pred": torch.zeros(5, 2)}])
        assert network.training, "it stays in its mode"
        return json.loads((tmp_path / "metrics.json").read_text())

    # 0 and .6 against .3 and .9: three of four pairs are in the right order
    assert scores(Encoders(), fitted)["logistic_regression"] == pytest.approx(0.75)
    assert "logistic_regression" not in scores(Encoders(), None)
    assert "logistic_regression" not in scores(Encoders(frozen=()), fitted), (
        "an encoder trained end to end gets no logistic regression"
    )
    assert "logistic_regression" not in scores(Encoders(), Graded([0.1, 0.2, 0.3], [0, 0, 1])), (
        "one exam cannot be split"
    )


def test_pictures_are_of_the_surest_exams(tmp_path, monkeypatch):
    figures = keep_figures(monkeypatch)
    report(tmp_path, monkeypatch)
    axes = figures["saliency.png"].axes
    assert [text.get_text() for line in axes for text in line.texts] == [
        "ED: NOR 0.90\ntrue: NOR\n0xam0", "ES: NOR 0.90\ntrue: NOR\n0xam0",
        "ED: NOR 0.80\ntrue: DCM\n2xam0", "ES: NOR 0.80\ntrue: DCM\n2xam0",
    ]  # fmt: skip
    # all slices have equal influence; their titles give their numbers in the stack
    assert [line.get_title() for line in axes if line.get_title()] == ["slice 3: 50 %", "slice 4: 50 %"] * 4
