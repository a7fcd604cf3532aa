"""Test how oblique a stack is in the body, and how far it lies from the long axis of hearts."""

from __future__ import annotations

import math

import pytest
import torch
from planewise.findings import finding
from planewise.geometry.stack_direction import stack_obliquity, why_no_short_axis
from planewise.geometry.tolerances import OFF_AXIS


def affines(*degrees: float) -> torch.Tensor:
    """Coronal slices, each rotated by this angle about the patient's left-right axis."""
    stack = torch.eye(4, dtype=torch.float64).repeat(len(degrees), 1, 1)
    for affine, turned in zip(stack, map(math.radians, degrees), strict=True):
        # rows run to the left, columns to the feet: 2 x 3 mm pixels, slices 8 mm apart
        affine[:3, 0] = torch.tensor([-2.0, 0, 0])
        affine[:3, 1] = 3 * torch.tensor([0, math.sin(turned), -math.cos(turned)])
        affine[:3, 2] = 8 * torch.tensor([0, math.cos(turned), math.sin(turned)])
    return stack


@pytest.mark.parametrize(
    ("turned", "degrees", "across"), [(0, 0, "coronal"), (20, 20, "coronal"), (-20, 20, "coronal"), (70, 20, "axial")]
)
def test_how_oblique_a_stack_is(turned, degrees, across):
    found, name = stack_obliquity(affines(turned, turned, turned))
    assert (found, name) == (pytest.approx(degrees, abs=1e-6), across)


@pytest.mark.parametrize(("obliquity", "limit"), [(15.0, 15.0), (40.0, 15.0), (0.0, 0.0), (math.nan, 0.0)])
def test_what_is_oblique_enough(obliquity, limit):
    assert why_no_short_axis(obliquity, "axial", limit) == []


@pytest.mark.parametrize("obliquity", [14.999, math.nan])
def test_what_is_not(obliquity):
    assert why_no_short_axis(obliquity, "axial", 15.0)


def test_slices_across_another_axis_than_the_hearts_are_no_short_axis():
    assert why_no_short_axis(20.0, "axial", 15.0, 45.0) == why_no_short_axis(20.0, "axial", 0.0, 90.0) == []
    assert why_no_short_axis(20.0, "axial", 15.0, 61.3) == [
        finding("stack-off-axis", degrees=61, limit=OFF_AXIS, kind="off-axis")
    ]
    # one reason is enough
    not_oblique = finding("stack-off-axis", degrees=10.0, plane="axial", limit=15.0, kind="not-oblique")
    assert why_no_short_axis(10.0, "axial", 15.0, 61.3) == [not_oblique]
