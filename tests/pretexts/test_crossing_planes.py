"""Test slices in which the lines of two views do not cross."""

from __future__ import annotations

import math

import pytest
import torch
from planewise.errors import InputError
from planewise.pretexts import CrossingPlanesd

VIEWS = ("4ch", "2ch")


def item(degrees: float) -> dict:
    """An axial slice; the first line runs from left to right, and the other has an angle to it."""
    turn = math.radians(degrees)
    planes = torch.tensor([[[0.0, 0, 0], [0, 1, 0]], [[0, 0, 0], [-math.sin(turn), math.cos(turn), 0]]])
    affine = [[-2.0, 0, 0, 0], [0, -2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    return {"exam": "7f3a", "stack": "short axis", "affine": affine, "planes": planes.double()}


def test_a_cross_passes_as_it_is():
    for parallel in ("error", "mask"):
        given = item(60)
        assert torch.equal(CrossingPlanesd(VIEWS, ("L", "A"), parallel)(given)["planes"], given["planes"])


@pytest.mark.parametrize(("degrees", "ends"), [(3, ("L", "L")), (10, ("L", "A")), (90, ("A", "A"))])
def test_no_cross_is_refused_or_masked(degrees, ends):
    with pytest.raises(
        InputError, match=r"exam 7f3a, short axis: in a slice, the lines of the 4ch and 2ch .* --parallel_pl"
    ):
        CrossingPlanesd(VIEWS, ends)(item(degrees))
    given = item(degrees)
    assert torch.isnan(CrossingPlanesd(VIEWS, ends, "mask")(given)["planes"]).all()
    assert torch.isfinite(given["planes"]).all(), "the given item does not change"


def test_a_plane_that_is_masked_stays_so():
    given = item(60)
    given["planes"][1] = torch.nan
    found = CrossingPlanesd(VIEWS, ("L", "A"))(given)["planes"]
    assert torch.isnan(found[1]).all() and torch.isfinite(found[0]).all()
