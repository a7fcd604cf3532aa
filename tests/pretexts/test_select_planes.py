"""Test which planes become targets, and what happens to those that cannot."""

from __future__ import annotations

import math

import pytest
import torch
from planewise.errors import InputError
from planewise.pretexts import SelectPlanesd


def plane(normal) -> dict[str, list[float]]:
    return {"origin": [1, 2, 3], "normal": normal}


def test_views_come_in_the_order_that_was_asked_for():
    item = {"affine": torch.eye(4).tolist(), "planes": {"4ch": plane([0, 2, 0]), "2ch": plane([1, 0, 0])}}
    selected = SelectPlanesd(["2ch", "4ch"])(item)["planes"]
    assert selected.dtype == torch.float64
    assert selected[:, 1].tolist() == [[1, 0, 0], [0, 1, 0]]


def test_a_missing_view_is_an_error_that_says_what_to_do_or_masked():
    item = {"affine": torch.eye(4).tolist(), "planes": {"2ch": plane([1, 0, 0])}, "exam": "7f3a"}
    with pytest.raises(InputError, match="exam 7f3a has no 4ch view.*--views"):
        SelectPlanesd(["2ch", "4ch"])(item)
    selected = SelectPlanesd(["2ch", "4ch"], missing="mask")(item)["planes"]
    assert torch.isfinite(selected[0]).all() and torch.isnan(selected[1]).all()


def test_planes_without_the_slices_own_affine_are_refused():
    item = {"image": "slice.dcm", "planes": {"2ch": plane([1, 0, 0])}, "exam": "7f3a"}
    with pytest.raises(InputError, match="exam 7f3a, the stack: .*no affine; index the folder again"):
        SelectPlanesd(["2ch"])(item)


@pytest.mark.parametrize("side", [1, -1])
def test_a_parallel_view_is_an_error_that_names_exam_and_views_or_masked(side):
    """The view is parallel whichever side its normal points to."""
    item = {
        "affine": torch.eye(4).tolist(),
        "planes": {"2ch": plane([0.02 * side, 0, side])},
        "exam": "7f3a",
        "stack": "sax",
    }
    with pytest.raises(
        InputError, match=r"exam 7f3a: the 2ch and sax planes are parallel \(angle 1\.1 deg < 5 deg\).*--views"
    ):
        SelectPlanesd(["2ch"])(item)
    assert torch.isnan(SelectPlanesd(["2ch"], parallel="mask")(item)["planes"]).all()


@pytest.mark.parametrize("spacing", [0.0, 5e-4])
def test_zero_spacing_is_refused(spacing):
    affine = torch.diag(torch.tensor([spacing, 1, 1, 1], dtype=torch.float64))
    item = {"affine": affine.tolist(), "planes": {"2ch": plane([1, 0, 0])}, "exam": "7f3a"}
    with pytest.raises(InputError, match="exam 7f3a.*spacing is zero"):
        SelectPlanesd(["2ch"])(item)


def crossed(degrees: float) -> dict:
    """An axial slice; the first line runs from left to right, and the other has an angle to it."""
    turn = math.radians(degrees)
    planes = {"4ch": plane([0, 1, 0]), "2ch": plane([-math.sin(turn), math.cos(turn), 0])}
    affine = [[-2.0, 0, 0, 0], [0, -2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    return {"exam": "7f3a", "stack": "short axis", "affine": affine, "planes": planes}


def test_lines_that_cross_stay_and_so_does_a_plane_that_is_masked():
    select = SelectPlanesd(["4ch", "2ch"], "mask", ends=["L", "A"])
    assert torch.isfinite(select(crossed(60))["planes"]).all()
    given = crossed(60)
    del given["planes"]["2ch"]
    found = select(given)["planes"]
    assert torch.isnan(found[1]).all() and torch.isfinite(found[0]).all()


@pytest.mark.parametrize(("degrees", "ends"), [(3, "LL"), (10, "LA"), (90, "AA")])
def test_lines_that_do_not_cross_are_refused_or_masked(degrees, ends):
    with pytest.raises(InputError, match="exam 7f3a, short axis"):
        SelectPlanesd(["4ch", "2ch"], ends=ends)(crossed(degrees))
    assert torch.isnan(SelectPlanesd(["4ch", "2ch"], parallel="mask", ends=ends)(crossed(degrees))["planes"]).all()
