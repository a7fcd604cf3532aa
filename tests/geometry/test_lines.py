from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planewise.geometry import clip_lines, crossing, intersection_lines, line_errors, line_heatmaps, pixels_to_patient
from planewise.geometry.lines import plane_from_lines
from planewise.geometry.planes import angle_between_planes, signed_distance

from .slices import affines, planes_through, rotation

SHAPE = (96, 80)


@given(st.data())
def test_points_of_the_line_lie_on_both_planes(data):
    affine = data.draw(affines())
    origin, normal = data.draw(planes_through(affine, SHAPE))
    ends = clip_lines(intersection_lines(affine, origin, normal), SHAPE)
    points = pixels_to_patient(ends, affine)
    assert torch.all(signed_distance(points, origin, normal).abs() < 1e-6)


@given(st.data())
def test_turning_the_patient_does_not_move_the_line(data):
    affine = data.draw(affines())
    origin, normal = data.draw(planes_through(affine, SHAPE))
    turn = torch.eye(4, dtype=torch.float64)
    turn[:3, :3] = rotation(data.draw(st.integers(0, 10**6)))
    turn[:3, 3] = torch.tensor([3.0, -40, 17])
    before = line_heatmaps(intersection_lines(affine, origin, normal), SHAPE, 6)
    moved = intersection_lines(
        turn @ affine, (turn @ torch.cat([origin, origin.new_ones(1)]))[:3], turn[:3, :3] @ normal
    )
    assert torch.allclose(before, line_heatmaps(moved, SHAPE, 6), atol=1e-5)


@given(st.data())
def test_swapping_rows_and_columns_transposes_the_heatmap(data):
    affine = data.draw(affines())
    origin, normal = data.draw(planes_through(affine, SHAPE))
    swapped = affine[:, [1, 0, 2, 3]]
    heatmap = line_heatmaps(intersection_lines(affine, origin, normal), SHAPE, 6)
    transposed = line_heatmaps(intersection_lines(swapped, origin, normal), SHAPE[::-1], 6)
    assert torch.allclose(heatmap, transposed.T, atol=1e-6)


@pytest.mark.parametrize(("degrees", "has_line"), [(0, False), (4.9, False), (5.1, True), (90, True)])
def test_parallel_planes_have_no_line(degrees, has_line):
    affine = torch.diag(torch.tensor([1.26, 0.7, 8, 1], dtype=torch.float64))
    angle = math.radians(degrees)
    normal = torch.tensor([math.sin(angle), 0, math.cos(angle)], dtype=torch.float64)
    line = intersection_lines(affine, torch.tensor([10.0, 0, 0]), normal)
    assert bool(torch.isfinite(line).all()) == has_line


def test_a_plane_that_misses_the_image_is_clipped_to_nothing():
    affine = torch.eye(4, dtype=torch.float64)
    line = intersection_lines(affine, torch.tensor([500.0, 0, 0]), torch.tensor([1.0, 0, 0]))
    assert torch.isfinite(line).all()
    assert torch.isnan(clip_lines(line, SHAPE)).all()
    assert float(line_heatmaps(line, SHAPE, 6).max()) < 1e-12


def test_lines_cross_where_both_are_zero():
    lines = torch.randn(20, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points = crossing(lines[:, 0], lines[:, 1])
    on_lines = (lines[..., :2] * points[:, None]).sum(dim=-1) + lines[..., 2]
    assert torch.allclose(on_lines, torch.zeros_like(on_lines), atol=1e-9)


@given(st.floats(0, math.pi), st.floats(-1.4, 1.4), st.floats(-20, 20), st.floats(0.5, 3), st.floats(0.5, 3))
def test_line_errors_are_the_turn_and_the_shift_that_were_made(direction, turn, shift, di, dj):
    # in millimetres, about the image's centre, whatever the pixel spacing
    affine = torch.diag(torch.tensor([di, dj, 8, 1], dtype=torch.float64))
    centre = torch.tensor([(SHAPE[0] - 1) / 2 * di, (SHAPE[1] - 1) / 2 * dj], dtype=torch.float64)

    def line(angle: float, offset: float) -> torch.Tensor:
        normal = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        pixel = normal * torch.tensor([di, dj], dtype=torch.float64)
        return torch.cat([pixel, -(normal @ centre)[None] - offset]) / pixel.norm()

    angle, distance = line_errors(line(direction + turn, shift), line(direction, 0), affine, SHAPE)
    assert float(angle) == pytest.approx(abs(turn), abs=1e-6)
    assert float(distance) == pytest.approx(abs(shift), abs=1e-6)


@given(st.data())
def test_the_plane_comes_back_from_its_lines(data):
    first = data.draw(affines())
    stack = first.repeat(8, 1, 1)
    axes = first[:3, :3] / first[:3, :3].norm(dim=0)
    stack[:, :3, 3] += torch.arange(8, dtype=torch.float64)[:, None] * 9 * axes[:, 2]
    origin, normal = data.draw(planes_through(first, SHAPE))
    lines = intersection_lines(stack, origin, normal)
    # one slice in eight is wrong; it must not turn the plane
    lines[3] = torch.tensor([0.6, 0.8, -20])
    centres = torch.tensor([48.0, 40]).expand(8, 2)
    found_origin, found_normal, residual = plane_from_lines(lines, stack, centres)
    assert math.degrees(float(angle_between_planes(found_normal, normal))) < 3
    clean = [0, 1, 2, 4, 5, 6, 7]
    exact_origin, exact_normal, residual = plane_from_lines(lines[clean], stack[clean], centres[clean])
    assert float(angle_between_planes(exact_normal, normal)) < 1e-5
    assert abs(float(signed_distance(exact_origin, origin, normal))) < 1e-4
    assert float(residual) < 1e-3


def test_a_third_of_the_lines_at_the_end_of_a_stack_do_not_turn_its_plane():
    # slices 8 mm apart; six lines are within half a millimetre of the plane i = 20, and the last three are 60 mm away
    affines = torch.eye(4, dtype=torch.float64).repeat(9, 1, 1)
    affines[:, 2, 3] = 8.0 * torch.arange(9)
    at = torch.tensor([20.5, 19.5, 20.5, 19.5, 20.5, 19.5, 80, 80, 80], dtype=torch.float64)
    lines = torch.stack([torch.ones_like(at), torch.zeros_like(at), -at], dim=1)
    origin, normal, _ = plane_from_lines(lines, affines, torch.full((9, 2), 40.0))
    across = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    assert math.degrees(float(angle_between_planes(normal, across))) < 3
    on_a_good_slice = torch.tensor([20.0, 40, 16], dtype=torch.float64)
    assert abs(float((on_a_good_slice - origin) @ normal)) < 1


def test_one_line_is_not_enough_for_a_plane():
    origin, normal, residual = plane_from_lines(
        torch.tensor([[1.0, 0, 0], [torch.nan] * 3]), torch.eye(4).repeat(2, 1, 1), torch.zeros(2, 2)
    )
    assert torch.isnan(origin).all() and torch.isnan(normal).all() and torch.isnan(residual)
