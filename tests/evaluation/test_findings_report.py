from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import pytest
import torch
from planewise.evaluation import FindingsReport

from .passes import keep_figures, pass_over

TASKS = ("acl", "meniscus")
#: Probabilities and labels by exam.
PROBABILITIES = torch.tensor([[0.9, 0.2], [0.3, 0.8], [0.6, 0.7], [0.1, 0.6], [0.4, 0.1]], dtype=torch.float64)
LABELS = torch.tensor([[1, 0], [1, 1], [0, torch.nan], [0, 0], [0, 1]])
#: An order as a loader might give it.
ORDER = [[2, 4, 0], [3, 1]]


def report_of(folder):
    items = [{"exam": f"{number}xam00hash"} for number in range(5)]
    dataset = SimpleNamespace(items=items, labels=LABELS)
    batches = [{"index": torch.tensor(rows)} for rows in ORDER]
    outputs = [{"pred": torch.logit(PROBABILITIES[rows])} for rows in ORDER]
    return pass_over(FindingsReport(folder, dataset=dataset, tasks=TASKS), batches, outputs)


def test_scores_by_hand(tmp_path, monkeypatch):
    figures = keep_figures(monkeypatch)
    found = report_of(tmp_path)
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert found == {"report": scores}
    # acl: 0.9 and 0.3 with it; 0.6, 0.1 and 0.4 without. meniscus: 0.8 and 0.1 with it, 0.2 and 0.6 without
    assert scores["auc"] == pytest.approx({"acl": 4 / 6, "meniscus": 2 / 4})
    assert scores["macro_auc"] == pytest.approx(7 / 12)
    assert scores["sensitivity"] == pytest.approx({"acl": 1 / 2, "meniscus": 1 / 2})
    assert scores["specificity"] == pytest.approx({"acl": 2 / 3, "meniscus": 1 / 2})
    assert scores["positives"] == {"acl": 2, "meniscus": 2} and scores["exams"] == 5
    (curves,) = figures["roc.png"].axes
    assert [line.get_label() for line in curves.get_lines()][:2] == ["acl 0.667", "meniscus 0.500"]


def test_rows_are_the_exams_own(tmp_path):
    report_of(tmp_path)
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    assert [row["exam"][0] for row in rows] == list("24031")
    for row in rows:
        number = int(row["exam"][0])
        assert [float(row[f"p({task})"]) for task in TASKS] == pytest.approx(PROBABILITIES[number].tolist(), abs=1e-5)
        assert [row[task] for task in TASKS] == ["" if value != value else str(int(value)) for value in LABELS[number]]
