"""Test planes that are fitted to lines on a stack of slices, and the bounds of their errors."""

from __future__ import annotations

import math

import pytest
import torch
from planewise.geometry import (
    Bound,
    SliceLines,
    calibrated_bound,
    find_lines,
    line_centres,
    line_heatmaps,
    plan_planes,
    plane_errors,
)
from planewise.geometry.lines import distances_of_lines, plane_from_lines
from planewise.geometry.stack_planes import jackknife_of_plane

SHAPE = (61, 61)
#: The middle of the grid, pixels.
MIDDLE = 30.0


def stack(count: int, gap: float = 40.0) -> torch.Tensor:
    """Slices of 2 mm pixels perpendicular to z; the middle of the stack is at (60, 60, 0) mm."""
    affines = torch.diag(torch.tensor([2.0, 2, gap, 1], dtype=torch.float64)).repeat(count, 1, 1)
    affines[:, 2, 3] = gap * (torch.arange(count) - (count - 1) / 2)
    return affines


def upright(turn: float = 0.0, shift: float = 0.0) -> torch.Tensor:
    """The line i = 30, rotated about the middle of the image (deg) and then shifted along its normal (pixels)."""
    angle = math.radians(turn)
    normal = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    return torch.cat([normal, -(normal.sum() * MIDDLE + shift)[None]])


def found(*lines: torch.Tensor, agreement=None, peak=None) -> SliceLines:
    """Lines of one view; by default, every heatmap is perfect."""
    ones = torch.ones(len(lines), 1, dtype=torch.float64)
    given = [
        ones if values is None else torch.tensor(values, dtype=torch.float64)[:, None] for values in (agreement, peak)
    ]
    return SliceLines(torch.stack(lines)[:, None], *given)


def test_two_lines_that_are_turned_against_each_other():
    """By symmetry, the plane lies midway between the lines: each is rotated away from it by 3 degrees, and so lies
    40 sin(3 deg) mm from it at 40 mm from the middle.
    """
    (plane,) = plan_planes(found(upright(3), upright(-3)), stack(2), SHAPE, ["2ch"])
    assert plane.view == "2ch" and plane.slices == 2
    assert plane.normal.abs().tolist() == pytest.approx([1, 0, 0], abs=1e-9)
    assert plane.origin.tolist() == pytest.approx([60, 60, 0], abs=1e-9), "the point nearest to the middle of the stack"
    assert plane.spread == pytest.approx(3)
    assert plane.residual == pytest.approx(40 * math.sin(math.radians(3)))


def test_the_residual_is_the_root_mean_square_of_points_40_mm_to_either_side():
    turns = (3, 1, -1, -3)
    (plane,) = plan_planes(found(*(upright(turn) for turn in turns)), stack(4), SHAPE, ["2ch"])
    squares = []
    for turn, z in zip(turns, (-60, -20, 20, 60), strict=True):
        for side in (-40, 40):
            angle = math.radians(turn)
            point = torch.tensor([60 - side * math.sin(angle), 60 + side * math.cos(angle), z], dtype=torch.float64)
            squares.append(float((point - plane.origin) @ plane.normal) ** 2)
    assert max(squares) > 3 * min(squares)
    assert plane.residual == pytest.approx(math.sqrt(sum(squares) / 8))


def test_a_heatmap_that_looks_more_like_a_line_counts_more():
    """Three slices share one line and a fourth is shifted; its agreement determines its weight."""
    shifted = [upright(), upright(), upright(), upright(shift=0.25)]
    pulled = []
    for agreement in (1.0, 0.5):
        (plane,) = plan_planes(found(*shifted, agreement=[1.0, 1, 1, agreement]), stack(4), SHAPE, ["2ch"])
        pulled.append(abs(float(plane.normal[2])))
    assert pulled[1] < 0.6 * pulled[0]


def test_distances_of_lines_by_hand():
    """The first line is 6 mm away, the second is rotated by 3 degrees about the middle, the third is both, and the fourth is
    absent. Distances are those of points 40 mm to either side of the middle.
    """
    lines = torch.stack([upright(shift=3), upright(3), upright(3, shift=3), torch.full((3,), torch.nan)])
    middle = torch.full((4, 2), MIDDLE, dtype=torch.float64)
    plane = torch.tensor([60.0, 0, 0], dtype=torch.float64), torch.tensor([1.0, 0, 0], dtype=torch.float64)
    found_distances = distances_of_lines(lines, stack(4), middle, *plane)
    turned, shifted = 40 * math.sin(math.radians(3)), 6 * math.cos(math.radians(3))
    assert found_distances[:3].tolist() == pytest.approx([6, turned, math.hypot(turned, shifted)])
    assert torch.isnan(found_distances[3])


def test_the_jackknife_by_hand():
    """The third line is 10 mm away and has almost no weight, so the plane is that of the first two. Without the first line,
    the plane is tilted by atan(10 / 40) about the middle; without the second, by atan(10 / 80), 5 mm from the middle.
    """
    lines, affines = torch.stack([upright(), upright(), upright(shift=5)]), stack(3)
    middle = torch.full((3, 2), MIDDLE, dtype=torch.float64)
    weights = torch.tensor([1.0, 1, 1e-6], dtype=torch.float64)
    at = torch.tensor([60.0, 60, 0], dtype=torch.float64)
    plane = plane_from_lines(lines, affines, middle, weights)[:2]
    angle, offset = jackknife_of_plane(lines, affines, middle, weights, plane, at)
    tilts = [math.degrees(math.atan(part)) for part in (10 / 40, 10 / 80)]
    assert angle == pytest.approx(math.sqrt(2 / 3) * math.hypot(*tilts), rel=1e-3)
    assert offset == pytest.approx(math.sqrt(2 / 3) * 5 * math.cos(math.radians(tilts[1])), rel=1e-3)


@pytest.mark.parametrize("count", [5, 20])
def test_the_jackknife_is_that_of_single_fits(count):
    """20 lines are more than the 16 groups."""
    turns, shifts = torch.randn(2, count, generator=torch.Generator().manual_seed(0)).tolist()
    lines = torch.stack([upright(4 * turn, shift) for turn, shift in zip(turns, shifts, strict=True)])
    affines, middle = stack(count, 8.0), torch.full((count, 2), MIDDLE, dtype=torch.float64)
    weights, at = torch.linspace(0.2, 1, count, dtype=torch.float64), torch.tensor([60.0, 60, 0], dtype=torch.float64)
    plane = plane_from_lines(lines, affines, middle, weights)[:2]
    groups, moves = min(count, 16), []
    for group in range(groups):
        kept = torch.arange(count) % groups != group
        own = plane_from_lines(lines[kept], affines[kept], middle[kept], weights[kept])
        moves.append(plane_errors(*own[:2], *plane, at))
    squares = torch.tensor(moves, dtype=torch.float64).square().sum(dim=0) * (groups - 1) / groups
    found = jackknife_of_plane(lines, affines, middle, weights, plane, at)
    assert found == pytest.approx(squares.sqrt().tolist(), rel=1e-6)


def test_centres_are_where_the_views_cross():
    first, second = torch.tensor([1.0, 0, -12]), torch.tensor([0.0, 1, -40])
    outside = torch.tensor([1.0, 0, -70])
    lines = torch.stack([torch.stack([first, second]), torch.stack([outside, second])]).double()
    assert line_centres(lines, SHAPE).tolist() == [[12, 40], [MIDDLE, MIDDLE]], "the image's middle if not on the image"
    assert line_centres(lines[:, :1], (21, 61)).tolist() == [[10, 30]] * 2, "one view crosses nothing"


def test_lines_of_heatmaps_with_their_agreement_and_peak():
    lines = torch.stack([upright(), upright(40)])[:, None]
    heatmaps = torch.cat([line_heatmaps(lines, SHAPE, 4.0), torch.full((2, 1, *SHAPE), 0.01)], dim=1)
    heatmaps[1] *= 0.6
    seen = find_lines(heatmaps, 4.0)
    assert seen.lines.shape == (2, 2, 3) and torch.isnan(seen.lines[:, 1]).all()
    assert seen.peak[:, 0].tolist() == pytest.approx([1, 0.6], abs=0.01)
    assert seen.agreement[:, 0].tolist() == pytest.approx([1, 1], abs=1e-3), (
        "agreement does not depend on the heatmap's height"
    )
    assert seen.agreement[:, 1].tolist() == [0, 0]
    assert seen.agreement.dtype == torch.float64


def test_errors_of_a_plane_by_hand():
    at = torch.tensor([7.0, 20, 3], dtype=torch.float64)
    reference = torch.tensor([5.0, 0, 0], dtype=torch.float64), torch.tensor([1.0, 0, 0], dtype=torch.float64)
    angle = math.radians(25)
    normal = torch.tensor([math.cos(angle), math.sin(angle), 0], dtype=torch.float64)
    # the plane goes through (5, 0, 0); the point of the reference plane nearest to the organ is (5, 20, 3)
    for sign in (1, -1):
        errors = plane_errors(reference[0], sign * normal, *reference, at)
        assert errors == pytest.approx((25, 20 * math.sin(angle)))
    shifted = plane_errors(reference[0] - 4 * reference[1], reference[1], *reference, at)
    assert shifted == pytest.approx((0, 4))


def test_a_bound_adds_what_slices_show_to_what_they_cannot():
    assert Bound(3.0, 2.0).at(2.0) == pytest.approx(5)
    assert Bound(3.0, 2.0).at(0.0) == 3
    assert math.isnan(Bound(3.0, 2.0).at(math.nan))


def test_too_few_planes_bound_nothing_and_planes_that_are_not_known_do_not_count():
    errors, moved = torch.arange(1.0, 10), torch.zeros(9)
    assert all(math.isnan(value) for value in calibrated_bound(errors[:8], moved[:8]))
    unknown = torch.tensor([torch.nan, 5.0])
    assert calibrated_bound(torch.cat([errors, unknown]), torch.cat([moved, unknown.flip(0)])) == (9, 0)


@pytest.mark.parametrize("kind", ["normal", "with long tails"])
def test_nine_of_ten_fresh_planes_keep_it(kind):
    """This holds for any distribution; for a normal distribution, the ratio of the two coefficients is also
    recovered."""
    draws = torch.Generator().manual_seed(3)
    moved = torch.rand(8000, generator=draws, dtype=torch.float64) * 4
    noise = torch.randn(8000, generator=draws, dtype=torch.float64)
    errors = (torch.hypot(torch.tensor(2.0), 1.5 * moved) * (noise if kind == "normal" else noise**3)).abs()
    bound = calibrated_bound(errors[:4000], moved[:4000])
    kept = [error <= bound.at(move) for error, move in zip(errors[4000:], moved[4000:].tolist(), strict=True)]
    assert sum(kept) / 4000 == pytest.approx(0.9, abs=0.015)
    if kind == "normal":
        assert bound.base == pytest.approx(2 * 1.645, rel=0.1) and bound.factor == pytest.approx(1.5 * 1.645, rel=0.1)
