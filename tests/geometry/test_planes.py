from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planewise.geometry import plane_from_affine, square_on_plane
from planewise.geometry.planes import affine_inverse, angle_between_planes, fit_plane, signed_distance, stack_obliquity

from .slices import affines, rotation


@given(st.lists(affines(), min_size=2, max_size=3), st.integers(0, 10**6))
def test_the_inverse_of_affines(several, seed):
    stack = torch.stack(several)
    stack[0, :3, :3] += 0.2 * rotation(seed)  # axes that are not perpendicular
    found, expected = affine_inverse(stack), torch.linalg.inv(stack)
    # origins lie half a metre away and pixels are half a millimetre wide
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-11)
    assert torch.allclose(found @ stack, torch.eye(4, dtype=torch.float64).expand_as(stack), atol=1e-11)
    assert torch.allclose(affine_inverse(stack[0]), found[0], rtol=1e-12, atol=1e-11)


@given(st.integers(0, 10**6), st.floats(0, math.pi / 2))
def test_angle_between_planes_is_the_angle_they_were_turned_by(seed, angle):
    axes = rotation(seed)
    turned = math.cos(angle) * axes[0] - math.sin(angle) * axes[1]
    assert float(angle_between_planes(axes[0], turned)) == pytest.approx(angle, abs=1e-12)
    assert float(angle_between_planes(axes[0], -turned)) == pytest.approx(angle, abs=1e-12)


@pytest.mark.parametrize(
    ("normal", "degrees", "name"),
    [
        ((1, 0, 0), 0, "sagittal"),
        ((0, -1, 0), 0, "coronal"),
        # a 3-4-5 triangle: asin(3/5) from the axis of feet and head, asin(4/5) from the axis of front and back
        ((0, 0.6, -0.8), 36.8699, "axial"),
        # acos(6/7) from the left, acos(2/7) and acos(3/7) from the other two axes
        ((6 / 7, -2 / 7, 3 / 7), 31.0027, "sagittal"),
        # equally far from all three axes
        ((-(3**-0.5), 3**-0.5, -(3**-0.5)), 54.7356, None),
    ],
)
def test_the_nearest_plane_of_the_body(normal, degrees, name):
    normal = torch.tensor(normal, dtype=torch.float64)
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :2] = torch.linalg.svd(normal[None])[2][1:].T
    angle, found = stack_obliquity(affine[None])
    assert angle == pytest.approx(degrees, abs=1e-4)
    assert name is None or found == name


@given(affines(), st.integers(0, 1000))
def test_fit_plane_finds_the_plane_of_points(affine, seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(20, 2, generator=generator, dtype=torch.float64) * 200
    points = pixels @ affine[:3, :2].T + affine[:3, 3]
    origin, normal, residual = fit_plane(points)
    true_origin, true_normal = plane_from_affine(affine)
    assert float(angle_between_planes(normal, true_normal)) < 1e-6
    assert abs(float(signed_distance(origin, true_origin, true_normal))) < 1e-6
    assert float(residual) < 1e-5


def test_a_square_on_any_plane():
    normal = torch.nn.functional.normalize(torch.randn(50, 3, dtype=torch.float64), dim=-1)
    normal[0], normal[1] = torch.tensor([0.0, 0, 1]), torch.tensor([0.0, 1, 0])
    origin = torch.randn(50, 3, dtype=torch.float64) * 100
    corners = square_on_plane(origin, normal, 30.0)
    assert corners.shape == (50, 4, 3)
    assert torch.allclose(corners.mean(dim=1), origin)
    assert torch.allclose(
        ((corners - origin[:, None]) * normal[:, None]).sum(-1), torch.zeros(50, 4).double(), atol=1e-9
    )
    sides = corners.roll(-1, dims=1) - corners
    assert torch.allclose(sides.norm(dim=-1), torch.full((50, 4), 30.0).double())
    assert torch.allclose((sides * sides.roll(-1, dims=1)).sum(-1), torch.zeros(50, 4).double(), atol=1e-9)
    upright = normal[:, 2].abs() < 0.9
    assert torch.allclose(sides[upright, 0, 2], torch.zeros(int(upright.sum())).double(), atol=1e-9)
    assert torch.allclose(square_on_plane(origin[3], normal[3], 30.0), corners[3])
