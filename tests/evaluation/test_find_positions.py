"""Test that the positions of a stack are found in patient space, and when none are found."""

from __future__ import annotations

import json

import pytest
import torch
from monai.data import MetaTensor
from planewise.evaluation import FindPositionsd
from planewise.geometry import square_labels, squares_on_lines

ENDS, SIZE, STEP, SLICES = ("L", "A"), 20.0, 40.0, 6


@pytest.fixture
def stack():
    """A stack tilted from the axial plane, with 2.5 mm pixels and 8 mm slices; the centre of its cross moves along the
    stack.
    """
    affine = torch.eye(4, dtype=torch.float64)
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -0.1, 0.2], [0.1, 0, -0.3], [-0.2, 0.3, 0]], dtype=torch.float64))
    affine[:3, :3] = turn @ torch.diag(torch.tensor([-2.5, -2.5, 8], dtype=torch.float64))
    affine[:3, 3] = torch.tensor([130.0, 120, -20])
    affines = affine.repeat(SLICES, 1, 1)
    affines[:, :3, 3] += torch.arange(SLICES)[:, None] * affine[:3, 2]
    middle = (affine @ torch.tensor([48.0, 46, 2, 1], dtype=torch.float64))[:3]
    normals = turn @ torch.tensor([[0.2, 1, 0.1], [1, 0.3, -0.1]], dtype=torch.float64).T
    planes = torch.stack([torch.stack([middle, normal / normal.norm()]) for normal in normals.T])
    squares = squares_on_lines(affines, planes.expand(SLICES, 2, 2, 3), ENDS, STEP)
    labels = square_labels(squares, affines, (96, 96), SIZE)
    logits = 20 * torch.nn.functional.one_hot(labels, 10).permute(3, 1, 2, 0).float()
    image = MetaTensor(torch.rand(1, 96, 96, SLICES), affine=affine, meta={"filename_or_obj": "ab12"})
    return image, logits, labels, squares


def find(image, logits, **settings):
    return FindPositionsd(ENDS, SIZE, STEP, **settings)({"image": image, "pred": logits})


def test_centres_are_those_of_the_squares(stack):
    image, logits, labels, squares = stack
    item = find(image, logits)
    found = item["positions"]
    assert found["verdict"] == "positions" and not found["reasons"] and found["frame"] == "RAS+, mm"
    for number, entry in enumerate(found["slices"]):
        assert entry["trusted"] and entry["found"] == 9 and entry["residual_mm"] < 1 and entry["slice"] == number
        centres = torch.tensor(list(entry["centres"].values()), dtype=torch.float64)
        assert float((centres - squares.centres[number]).norm(dim=-1).max()) < 1.25  # half a pixel
        assert list(entry["centres"])[:3] == ["crossing", "left", "far left"]
    assert torch.equal(item["pred"][0].long(), labels.permute(1, 2, 0)) and item["pred"].dtype == torch.uint8
    assert torch.equal(item["pred"].affine, image.affine)
    json.dumps(found)


def test_a_slice_that_makes_no_cross_has_no_positions_and_the_others_do(stack):
    image, logits, *_ = stack
    broken = logits.clone()
    broken[:, :, :, 2] = broken[[0, 3, 2, 1, 4, 7, 6, 5, 8, 9]][:, :, :, 2]
    item = find(image, broken)
    assert [entry["trusted"] for entry in item["positions"]["slices"]] == [True, True, False, True, True, True]
    refused = item["positions"]["slices"][2]
    assert set(refused["centres"].values()) == {None} and refused["residual_mm"] > 10
    assert not item["pred"][..., 2].any() and item["pred"][..., 1].any()
    assert item["positions"]["verdict"] == "positions"


@pytest.mark.parametrize("what", ["nothing", "noise", "few squares"])
def test_what_is_not_the_organ_is_refused_with_its_reason(stack, what):
    image, logits, *_ = stack
    if what == "nothing":
        logits = torch.zeros_like(logits)
        logits[0] = 1
    elif what == "noise":
        logits = 3 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    else:
        logits[5:] = -20
    item = find(image, logits)
    assert item["positions"]["verdict"] == "no positions" and not item["pred"].any()
    assert item["positions"]["reasons"][0].startswith("0 of 6 slices are trusted (at least 5 squares, at most 10 mm")
    assert all(set(entry["centres"].values()) == {None} for entry in item["positions"]["slices"])
    json.dumps(item["positions"], allow_nan=False)
