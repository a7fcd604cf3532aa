from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planewise.geometry import (
    base_to_apex,
    centrosymmetric,
    location_order,
    relative_locations,
    to_left_front_or_head,
)

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
