"""Test the grade of a photograph as people and servers receive it; tests/bundles tests the files of an evaluation."""

import csv
from types import SimpleNamespace

import pytest
import torch
from monai.data import MetaTensor
from planewise.errors import InputError
from planewise.evaluation import (
    GradeAnswerd,
    GradingReport,
)
from planewise.networks import DenseNetEncoder, SharedEncoderNet

NAMES = ["none", "mild", "moderate"]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SharedEncoderNet(DenseNetEncoder(8, 4, (1, 1, 1, 1)), pieces=1, num_outputs=2).eval()


def test_the_answer_holds_the_grade_and_no_label():
    image = MetaTensor(torch.rand(3, 8, 6))
    item = GradeAnswerd(NAMES)({"image": image, "pred": torch.tensor([0.75, 0.25])})
    assert item["grade"] == 1 and item["result"]["name"] == "mild"
    assert item["result"]["at_least"] == {"mild": 0.75, "moderate": 0.25} and "Research" in item["result"]["note"]
    assert item["pred"].shape == (1, 8, 6) and not item["pred"].any() and torch.equal(item["pred"].affine, image.affine)


def test_an_output_for_each_grade_is_refused(network, tmp_path):
    """Softmax logits have no thresholds; a grade counted from them would mean nothing."""
    refused = "the network has 3 outputs for 3 grades, .* there must be 2 outputs"
    with pytest.raises(InputError, match=refused):
        GradeAnswerd(NAMES)({"image": torch.rand(3, 8, 6), "pred": torch.tensor([0.5, 0.2, 0.3])})
    eyes = SimpleNamespace(items=[{"exam": "eye0"}])
    report = GradingReport(tmp_path, eyes, network, NAMES, examples=0)
    report._true, report.index, report._probabilities = [0], [0], [torch.tensor([[0.5, 0.2, 0.3]])]
    with pytest.raises(InputError, match=refused):
        report.write()
    assert not list(tmp_path.iterdir())


def test_rows_are_the_photographs_own(network, tmp_path):
    """Rows are in the order of the photographs, each with the probability of every grade except the lowest."""
    eyes = SimpleNamespace(items=[{"exam": f"eye{number}"} for number in range(3)])
    report = GradingReport(tmp_path, eyes, network, NAMES, examples=0)
    report._true, report.index = [2, 0, 1], [1, 2, 0]
    report._probabilities = [torch.tensor([[0.75, 0.625], [0.25, 0.125], [0.875, 0.375]])]
    report.write()
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = [{name: value if name == "exam" else float(value) for name, value in row.items()} for row in rows]
    names = ("exam", "true", "predicted", "p(mild or above)", "p(moderate or above)")
    expected = [("eye1", 2, 2, 0.75, 0.625), ("eye2", 0, 0, 0.25, 0.125), ("eye0", 1, 1, 0.875, 0.375)]
    assert told == [dict(zip(names, row, strict=True)) for row in expected]
