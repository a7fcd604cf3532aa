"""Test relative locations, and the direction of stacks in the body."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planewise.findings import finding
from planewise.geometry import base_to_apex, centrosymmetric, location_order, relative_locations, to_left_front_or_head
from planewise.geometry.planes import stack_obliquity
from planewise.geometry.tolerances import OFF_AXIS
from planewise.preprocessing.views import wrong_direction

from .slices import rotation


@given(st.lists(st.floats(1, 20), min_size=1, max_size=15), st.integers(0, 10**6))
def test_relative_location_is_the_ratio_of_distances(gaps, seed):
    axes = rotation(seed)
    positions = torch.cumsum(torch.tensor([0.0, *gaps], dtype=torch.float64), 0)
    # slices of a stack may be shifted in their own plane; only the distance between planes counts
    origins = positions[:, None] * axes[2] + torch.arange(len(positions))[:, None] * 3.0 * axes[0]
    locations = relative_locations(origins, axes[2])
    for i, location in enumerate(locations.tolist()):
        assert location == pytest.approx(sum(gaps[:i]) / sum(gaps))
    assert torch.allclose(locations, relative_locations(origins, -axes[2]))


def test_centrosymmetric_maps_both_ends_to_zero():
    locations = centrosymmetric(torch.tensor([0, 0.25, 0.5, 0.75, 1]))
    assert locations.tolist() == pytest.approx([0, math.sqrt(0.5), 1, math.sqrt(0.5), 0], abs=1e-6)


def test_base_to_apex_points_left_anterior_and_inferior():
    # the real exam's short-axis normal, with either sign
    normal = torch.tensor([0.4796, -0.6187, 0.6223], dtype=torch.float64)
    normal /= normal.norm()
    for sign in (1, -1):
        direction = base_to_apex(sign * normal)
        assert direction[0] < 0 < direction[1] and direction[2] < 0


@pytest.mark.parametrize(
    ("degrees", "decided"), [(0, True), (59, True), (61, False), (90, False), (119, False), (121, True)]
)
def test_base_to_apex_decides_within_60_degrees_only(degrees, decided):
    usual = torch.tensor([-1.0, 1, -1], dtype=torch.float64) / math.sqrt(3)
    across = torch.tensor([1.0, 1, 0], dtype=torch.float64) / math.sqrt(2)
    angle = math.radians(degrees)
    direction = base_to_apex(math.cos(angle) * usual + math.sin(angle) * across)
    assert bool(torch.isfinite(direction).all()) == decided


@pytest.mark.parametrize(
    ("normal", "direction"),
    [
        ((1, 0, 0), (-1, 0, 0)), ((-1, 0.3, -0.3), (-1, 0.3, -0.3)), ((0.2, -1, 0.1), (-0.2, 1, -0.1)),
        ((0.5, 0.2, -1), (-0.5, -0.2, 1)),
        # left and front are equally near: either choice gives the same direction
        ((1, -1, 0), (-1, 1, 0)),
    ],
)  # fmt: skip
def test_stacks_of_any_organ_run_to_the_left_the_front_or_the_head(normal, direction):
    normal, direction = (torch.tensor(vector, dtype=torch.float64) for vector in (normal, direction))
    for sign in (1, -1):
        found = to_left_front_or_head(sign * normal / normal.norm())
        assert torch.allclose(found, direction / direction.norm())


@pytest.mark.parametrize(("degrees", "decided"), [(0, True), (39, True), (41, False), (49, False), (51, True)])
def test_between_two_axes_that_point_apart_nothing_is_decided(degrees, decided):
    """The normal turns from left to back. Near 45 degrees, it is about equally near to both, so nothing is decided."""
    angle = math.radians(degrees)
    normals = torch.tensor([[-math.cos(angle), -math.sin(angle), 0], [0, 0, 1.0]], dtype=torch.float64)
    found = to_left_front_or_head(normals)
    assert bool(torch.isfinite(found[0]).all()) == decided
    assert found[1].tolist() == [0, 0, 1], "each normal of a batch is decided separately"


def test_order_of_locations():
    assert location_order(torch.tensor([0.0, 0.2, 0.9])) == 1
    assert location_order(torch.tensor([1.0, 0.6, 0.5, -0.1])) == -1
    assert abs(location_order(torch.tensor([0.5, 0.1, 0.9, 0.2, 0.6]))) < 0.5
    assert math.isnan(location_order(torch.tensor([0.0, 1.0])))


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


@pytest.mark.parametrize(("turned", "limit"), [(-20, 15.0), (-40, 39.99), (20, 0.0), (0, 0.0)])
def test_what_is_oblique_enough(turned, limit):
    assert wrong_direction(affines(turned), limit) == []


def test_slices_across_another_axis_than_the_hearts_are_no_short_axis():
    # one reason is enough
    not_oblique = finding("stack-off-axis", degrees=14.9, plane="coronal", limit=15.0, kind="not-oblique")
    assert wrong_direction(affines(14.9), 15.0) == [not_oblique]
    off_axis = finding("stack-off-axis", degrees=70, limit=OFF_AXIS, kind="off-axis")
    assert wrong_direction(affines(20.0), 15.0) == [off_axis]
    # the header of a file may have lost its orientation
    assert wrong_direction(affines(0.0), 15.0, straight=True) == [] != wrong_direction(affines(0.0), 15.0)
