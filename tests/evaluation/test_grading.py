"""Test the grade of a photograph as people and servers receive it; tests/bundles tests the files of an evaluation."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from planewise.errors import InputError
from planewise.evaluation import GradeAnswerd, GradingReport
from planewise.reports.classification_figures import photograph_figure

from .passes import pass_over

NAMES = ["none", "mild", "moderate"]


def report(folder, rows, grades, probabilities):
    """Report the photographs in these rows of a data set, with these true grades and probabilities."""
    eyes = SimpleNamespace(items=[{"exam": f"eye{number}"} for number in range(3)])
    output = {"pred": torch.logit(torch.tensor(probabilities)), "label": torch.tensor(grades)}
    pass_over(GradingReport(folder, dataset=eyes, grades=NAMES), [{"index": torch.tensor(rows)}], [output])


def test_the_answer_holds_the_grade_and_no_label():
    image = MetaTensor(torch.rand(3, 8, 6))
    item = GradeAnswerd(NAMES)({"image": image, "pred": torch.tensor([0.75, 0.25])})
    assert item["grade"] == 1 and item["result"]["name"] == "mild"
    assert item["result"]["at_least"] == {"mild": 0.75, "moderate": 0.25} and "Research" in item["result"]["note"]
    assert item["pred"].shape == (1, 8, 6) and not item["pred"].any() and torch.equal(item["pred"].affine, image.affine)


def test_an_output_for_each_grade_is_refused(tmp_path):
    """Softmax logits have no thresholds; a grade counted from them would mean nothing."""
    refused = "the network has 3 outputs for 3 grades, .* there must be 2 outputs"
    with pytest.raises(InputError, match=refused):
        GradeAnswerd(NAMES)({"image": torch.rand(3, 8, 6), "pred": torch.tensor([0.5, 0.2, 0.3])})
    with pytest.raises(InputError, match=refused):
        report(tmp_path, [0], [0], [[0.5, 0.2, 0.3]])
    assert not list(tmp_path.iterdir())


def test_scores_by_hand(tmp_path):
    """One photograph is graded one grade too low, and another two grades too high."""
    report(tmp_path, [1, 2, 0], [1, 0, 1], [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1]])
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert (scores["accuracy"], scores["distance"]) == pytest.approx((1 / 3, 1))
    assert scores["recall"] == {"none": 0, "mild": 0.5, "moderate": None}
    assert scores["confusion"] == [[0, 0, 1], [1, 1, 0], [0, 0, 0]], "rows are true grades"


def test_rows_are_the_photographs_own(tmp_path):
    """Rows are in the order of the photographs, each with the probability of every grade except the lowest."""
    report(tmp_path, [1, 2, 0], [2, 0, 1], [[0.75, 0.625], [0.25, 0.125], [0.875, 0.375]])
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = [{name: value if name == "exam" else float(value) for name, value in row.items()} for row in rows]
    names = ("exam", "true", "predicted", "p(mild or above)", "p(moderate or above)")
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert (scores["kappa"], scores["accuracy"], scores["distance"], scores["photographs"]) == (1, 1, 0, 3)
    expected = [("eye1", 2, 2, 0.75, 0.625), ("eye2", 0, 0, 0.25, 0.125), ("eye0", 1, 1, 0.875, 0.375)]
    assert told == [dict(zip(names, row, strict=True)) for row in expected]


def test_a_photograph_stands_beside_what_decides_its_grade():
    figure = photograph_figure(np.full((3, 6, 4), 0.5), np.eye(6, 4), "a title")
    plain, marked = figure.axes
    assert len(plain.images) == 1 and marked.images[1].get_array().shape == (4, 6) and not marked.get_title()
