from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from planewise.evaluation import FindingsReport

from .brightness import bright_or_dark, stack_of
from .passes import keep_figures, pass_over

TASKS = ("acl", "meniscus")
#: Probabilities and labels by exam.
PROBABILITIES = torch.tensor([[0.9, 0.2], [0.3, 0.8], [0.6, 0.7], [0.1, 0.6], [0.4, 0.1]], dtype=torch.float64)
LABELS = torch.tensor([[1, 0], [1, 1], [0, torch.nan], [0, 0], [0, 1]])
#: An order as a loader might give it.
ORDER = [[2, 4, 0], [3, 1]]
SLICES = [0.2, 0.9, -0.8, 0.1]


def report_of(folder, **settings):
    def stacks(indices):
        return {"image": stack_of(SLICES).permute(0, 3, 1, 2).expand(len(indices), -1, -1, -1)}

    items = [{"exam": f"{number}xam00hash"} for number in range(5)]
    dataset = SimpleNamespace(items=items, labels=LABELS, __getitems__=stacks)
    batches = [{"index": torch.tensor(rows)} for rows in ORDER]
    outputs = [{"pred": torch.logit(PROBABILITIES[rows])} for rows in ORDER]
    return pass_over(FindingsReport(folder, dataset, bright_or_dark(), TASKS, **settings), batches, outputs)


def test_scores_by_hand(tmp_path, monkeypatch):
    figures = keep_figures(monkeypatch)
    found = report_of(tmp_path, title="a phantom")
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
    report_of(tmp_path, examples=0)
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    assert [row["exam"][0] for row in rows] == list("24031")
    for row in rows:
        number = int(row["exam"][0])
        assert [float(row[f"p({task})"]) for task in TASKS] == pytest.approx(PROBABILITIES[number].tolist(), abs=1e-5)
        assert [row[task] for task in TASKS] == ["" if value != value else str(int(value)) for value in LABELS[number]]


def test_pictures_are_of_the_surest_exams_with_their_truth(tmp_path, monkeypatch):
    figures = keep_figures(monkeypatch)
    report_of(tmp_path, examples=2)
    axes = figures["saliency.png"].axes
    captions = [text.get_text() for line in axes for text in line.texts]
    assert captions == [
        "acl 0.90\ntrue: present\n0xam00",
        "acl 0.60\ntrue: absent\n2xam00",
        "meniscus 0.80\ntrue: present\n1xam00",
        "meniscus 0.70\ntrue: not known\n2xam00",
    ]
    decided = [line for line in axes if line.get_title()]
    # the first finding depends on the brightest slice, the second on the darkest
    assert [line.get_title() for line in decided] == ["slice 2: 100 %"] * 2 + ["slice 3: 100 %"] * 2
    shown = [float(np.unique(line.get_images()[0].get_array()).item()) for line in decided]
    assert shown == pytest.approx([0.9, 0.9, -0.8, -0.8])
