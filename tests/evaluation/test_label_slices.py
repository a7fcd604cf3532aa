"""Test labels and numbers of slices against values worked out by hand."""

from __future__ import annotations

import json

import pytest
import torch
from monai.data import MetaTensor
from planewise.evaluation import LabelSlicesd


def labelled(locations, **options):
    affine = torch.diag(torch.tensor([2.0, 2.0, 8.0, 1.0], dtype=torch.float64))
    prediction = MetaTensor(torch.tensor(locations).expand(1, 4, 3, -1).clone(), affine=affine)
    item = LabelSlicesd(**options)({"pred": prediction})
    assert item["pred"].shape == prediction.shape and item["pred"].dtype == torch.uint8
    assert torch.equal(item["pred"].affine, affine)
    json.dumps(item["result"], allow_nan=False)
    # each slice has a single label
    assert (item["pred"] == item["pred"][:, :1, :1]).all()
    return item["pred"][0, 0, 0].tolist(), item["result"]


@pytest.mark.parametrize(
    ("options", "locations", "labels", "verdict"),
    [
        ({}, [0.05, 0.32, 0.35, 0.65, 0.68], [1, 1, 2, 2, 3], "first slice is basal"),
        ({}, [0.9, 0.6, 0.5, 0.3, 0.05], [3, 2, 2, 1, 1], "last slice is basal"),
        # sin(pi / 3) = 0.866
        (
            {"mapping": "sine"},
            [0.1, 0.86, 0.95, 0.87, 0.2],
            [1, 1, 2, 2, 1],
            "slice 3 of 5, from the stack's first end, is the middle",
        ),
        ({}, [0.5, 0.1, 0.9, 0.2, 0.6], [0, 0, 0, 0, 0], "no order"),
    ],
)
def test_thirds_of_the_stack(options, locations, labels, verdict):
    given, result = labelled(locations, **options)
    assert given == labels and result["verdict"] == verdict and result["locations"] == locations


def test_two_slices_have_no_order():
    given, result = labelled([0.1, 0.9])
    assert given == [0, 0] and result["order"] is None and result["verdict"] == "no order"


def test_a_location_that_is_no_number_is_none():
    given, result = labelled([0.1, float("nan"), 0.5, 0.9])
    assert given == [0] * 4 and result["locations"] == [0.1, None, 0.5, 0.9] and result["verdict"] == "no order"


def test_a_location_is_read_in_the_middle_whatever_was_padded():
    prediction = torch.zeros(1, 5, 5, 3)
    prediction[:, 1:4, 1:4] = torch.tensor([0.1, 0.5, 0.9])
    assert LabelSlicesd()({"pred": prediction})["result"]["locations"] == [0.1, 0.5, 0.9]
