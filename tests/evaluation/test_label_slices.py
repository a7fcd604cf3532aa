"""Test labels and numbers of slices against values worked out by hand."""

from __future__ import annotations

import json

import pytest
import torch
from monai.data import MetaTensor
from planewise.evaluation import LabelSlicesd, LocationWriter

from .passes import pass_over


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


def written(folder, locations, **settings) -> dict:
    image = torch.arange(float(len(locations))).expand(1, 6, 5, -1).clone()
    prediction = torch.full((1, 6, 5, len(locations)), -3.0)
    # padded slices hold another value
    prediction[0, 3, 2] = torch.tensor(locations)
    output = {"image": MetaTensor(image, meta={"filename_or_obj": "aa.nii.gz"}), "pred": prediction}
    pass_over(LocationWriter(folder), [[{}]], [[LabelSlicesd(**settings)(output)]])
    return json.loads((folder / "aa/locations.json").read_text())


@pytest.mark.parametrize(
    ("locations", "settings", "order", "verdict"),
    [
        ([0.0, 0.2, 0.9, 1.0], {}, 1, "first slice is basal"),
        ([1.0, 0.6, 0.5, 0.0], {"start": "the left end"}, -1, "last slice is the left end"),
        # ranks 2 1 4 3 against 1 2 3 4: 1 - 6 * 4 / (4 * 15)
        ([0.2, 0.1, 0.8, 0.7], {}, 0.6, "no order"),
        ([0.2, 0.1, 0.8, 0.7], {"min_order": 0.5}, 0.6, "first slice is basal"),
        ([0.0, 0.5, 1.0, 0.5, 0.0], {"mapping": "sine"}, 1, "slice 3 of 5, from the stack's first end, is the middle"),
        ([1.0, 0.5, 0.0, 0.5, 1.0], {"mapping": "sine"}, -1, "no order"),
    ],
)
def test_numbers_and_verdict_by_hand(tmp_path, locations, settings, order, verdict):
    found = written(tmp_path, locations, **settings)
    assert found["order"] == pytest.approx(order) and found["verdict"] == verdict
    assert found["locations"] == pytest.approx(locations) and "not for diagnosis" in found["note"]
