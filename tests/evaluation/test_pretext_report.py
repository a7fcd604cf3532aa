from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import torch
from matplotlib.figure import Figure
from planewise.evaluation import CollectorResults, PretextReport

from .passes import pass_over

ITEMS = [
    {"exam": exam, "stack": "s1", "slice": slice_, "phase": 0.25 * phase}
    for exam in ("aa", "bb", "cc")
    for slice_ in range(2)
    for phase in range(2)
]


class Means:
    """Keeps the mean of each sample's prediction, and the images of the examples."""

    def __init__(self, name: str = "mean") -> None:
        self.name = name

    def take(self, batch):
        return {"mean": batch.prediction.mean(dim=1), "shown": batch.image[batch.example, 0]}

    def results(self, taken, items, title):
        figure = Figure(figsize=(1, 1), dpi=70)
        figure.suptitle(title)
        return CollectorResults(
            {self.name: {"largest": float(taken["mean"].max()), "shown": taken["shown"][:, 0, 0].tolist()}},
            {self.name: taken["mean"].tolist()},
            {f"{self.name}.csv": {"first": [items[0]["exam"]], "last": [items[-1]["exam"]]}},
            {f"{self.name}.png": lambda: figure},
        )


def report_of(folder, collectors, order=range(len(ITEMS)), **settings):
    """Report on batches of five samples whose image and prediction are their index."""
    dataset = SimpleNamespace(items=ITEMS)
    rows = torch.tensor(list(order)).split(5)
    outputs = [
        {"image": index[:, None, None, None].expand(-1, 1, 2, 2), "label": {}, "pred": index[:, None].float()}
        for index in rows
    ]
    report = PretextReport(folder, dataset, collectors, **settings)
    return pass_over(report, [{"index": index} for index in rows], outputs)


def table(path):
    return list(csv.DictReader(path.open()))


def test_it_writes_what_the_collectors_found_after_what_every_sample_is(tmp_path):
    order = [7, 2, 7, 5, 6, 0, 3, 1]
    found = report_of(tmp_path, [Means("first"), Means("second")], order, title="a phantom", examples=0)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert list(metrics) == ["slices", "exams", "first", "second"] and found == {"report": metrics}
    assert (metrics["slices"], metrics["exams"]) == (7, 2), "the slices that were seen, one of them twice"
    assert metrics["first"] == {"largest": 7, "shown": []}
    rows = table(tmp_path / "slices.csv")
    assert list(rows[0]) == ["exam", "stack", "slice", "phase", "first", "second"]
    assert [float(row["second"]) for row in rows] == order
    for row, number in zip(rows, order, strict=True):
        item = ITEMS[number]
        assert (row["exam"], row["slice"], float(row["phase"])) == (item["exam"], str(item["slice"]), item["phase"])
    assert table(tmp_path / "first.csv") == [{"first": "bb", "last": "aa"}]
    assert (tmp_path / "second.png").exists()


def test_examples_are_spread_over_exams_and_stacks(tmp_path):
    metrics = report_of(tmp_path, [Means()], examples=3)["report"]
    # one of each exam, at increasing positions in the stack
    assert metrics["mean"]["shown"] == [0, 6, 11]
