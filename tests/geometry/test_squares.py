"""Test anatomical positions, and finding them in predicted maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from planewise.geometry import (
    cross_residual,
    end_direction,
    find_squares,
    square_labels,
    squares_inside,
    squares_on_lines,
)

from .slices import affines, rotation

SHAPE, ENDS, SIZE, STEP = (48, 40), ("L", "AS"), 20.0, 55.0


def crossing_planes(affine: torch.Tensor, first: float, second: float, at=(22.0, 19.0)) -> torch.Tensor:
    """Two planes perpendicular to a slice, which cut it along lines at these angles (radians) to its first axis."""
    axes = affine[:3, :2] / affine[:3, :2].norm(dim=0)
    origin = affine[:3, :3] @ torch.tensor([*at, 0.0], dtype=torch.float64) + affine[:3, 3]
    normals = [-math.sin(angle) * axes[:, 0] + math.cos(angle) * axes[:, 1] for angle in (first, second)]
    return torch.stack([torch.stack([origin, normal]) for normal in normals])


@st.composite
def crosses(draw) -> tuple[torch.Tensor, torch.Tensor]:
    """A random slice, and two planes through it that form a cross with distinguishable ends."""
    affine = draw(affines())
    first = draw(st.floats(0, 2 * math.pi))
    second = first + draw(st.sampled_from([-1, 1])) * draw(st.floats(0.6, math.pi - 0.6))
    planes = crossing_planes(affine, first, second, (draw(st.floats(0, 47)), draw(st.floats(0, 39))))
    across = torch.linalg.cross(affine[:3, 0], affine[:3, 1])
    for number, end in enumerate(ENDS):
        along = torch.linalg.cross(across, planes[number, 1])
        cosine = along @ torch.tensor(end_direction(end), dtype=torch.float64) / along.norm()
        assume(abs(float(cosine)) > 0.35)
    return affine, planes


def slow_labels(affine: np.ndarray, planes: np.ndarray, shape=SHAPE, size=SIZE, step=STEP) -> np.ndarray:
    """Pixel by pixel, following the paper's description, in LPS like DICOM headers. Pixels on a square's border give -2."""
    to_lps = np.diag([-1.0, -1.0, 1.0])
    u, v, o = (to_lps @ affine[:3, column] for column in (0, 1, 3))
    across = np.cross(u, v) / np.linalg.norm(np.cross(u, v))
    points, normals = planes[:, 0] @ to_lps, planes[:, 1] @ to_lps
    # the crossing lies in the slice and in both planes
    rows = np.stack([across, normals[0], normals[1]])
    centre = np.linalg.solve(rows, [across @ o, normals[0] @ points[0], normals[1] @ points[1]])
    # in LPS left is +x, and anterior -y, superior +z
    first_ends = [np.array([1.0, 0, 0]), np.array([0, -1.0, 1.0]) / math.sqrt(2)]
    directions = []
    for normal, end in zip(normals, first_ends, strict=True):
        direction = np.cross(across, normal)
        direction /= np.linalg.norm(direction)
        directions.append(direction if direction @ end > 0 else -direction)
    # find the perpendicular pair of sides that lies nearest to both lines, by trying both orientations
    best = None
    for hand in (1, -1):
        turned = hand * np.cross(across, directions[0])
        if turned @ directions[1] > 0:
            middle = directions[0] + hand * np.cross(directions[1], across)
            best = middle / np.linalg.norm(middle), hand * np.cross(across, middle / np.linalg.norm(middle))
    squares = [centre]
    for direction in directions:
        for sign in (1, -1):
            for count in (1, 2):
                squares.append(centre + sign * count * step * direction)
    labels = np.zeros(shape, dtype=int)
    for i in range(shape[0]):
        for j in range(shape[1]):
            for number, square in enumerate(squares, start=1):
                away = max(abs((o + i * u + j * v - square) @ side) for side in best)
                if abs(away - size / 2) < 1e-3:
                    labels[i, j] = -2
                    break
                if away < size / 2:
                    labels[i, j] = number
    return labels


@given(crosses())
@settings(max_examples=15)
def test_squares_are_those_of_a_loop_in_patient_space(cross):
    affine, planes = cross
    fast = square_labels(squares_on_lines(affine, planes, ENDS, STEP), affine, SHAPE, SIZE).numpy()
    slow = slow_labels(affine.numpy(), planes.numpy())
    sure = slow != -2
    assert sure.mean() > 0.5 and (fast[sure] == slow[sure]).all()


@given(crosses(), st.integers(0, 10**6))
def test_squares_move_with_the_patient(cross, seed):
    """If image and planes are rotated by 20 degrees about any axis and shifted, all pixels keep their classes."""
    affine, planes = cross
    axis = rotation(seed)[:, 0]
    skew = torch.tensor([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]], dtype=torch.float64)
    turn = torch.eye(4, dtype=torch.float64)
    turn[:3, :3] = torch.linalg.matrix_exp(0.05 * skew)
    turn[:3, 3] = torch.tensor([11.0, -7, 30])
    moved = planes @ turn[:3, :3].T
    moved[:, 0] += turn[:3, 3]
    before, after = (squares_on_lines(a, p, ENDS, STEP) for a, p in ((affine, planes), (turn @ affine, moved)))
    assert torch.allclose(before.centres @ turn[:3, :3].T + turn[:3, 3], after.centres, atol=1e-6)
    same = square_labels(before, affine, SHAPE, SIZE) == square_labels(after, turn @ affine, SHAPE, SIZE)
    assert same.float().mean() > 0.998  # except for rounding at pixels on a border


AXIAL = torch.diag(torch.tensor([-2.0, -2, 1, 1], dtype=torch.float64))


@pytest.mark.parametrize(
    ("first", "second", "known"),
    [
        (0.0, math.radians(90), True),
        (0.0, math.radians(4.9), False),  # the lines are nearly parallel
        (0.0, math.radians(35), True),
        (
            math.radians(74),
            math.radians(10),
            False,
        ),  # the first line runs from front to back: no end is on the left side
        (math.radians(72), math.radians(130), True),
        (0.0, math.radians(16), False),  # the second line runs from left to right, so neither end is anterior
    ],
)
def test_lines_that_make_no_cross_are_not_known(first, second, known):
    squares = squares_on_lines(AXIAL, crossing_planes(AXIAL, first, second), ("L", "A"), STEP)
    labels = square_labels(squares, AXIAL, SHAPE, SIZE)
    assert bool(torch.isfinite(squares.centres).all()) == bool(torch.isfinite(squares.sides).all()) == known
    assert bool((labels == -1).all()) == (not known) and bool((labels >= 0).all()) == known
    assert bool(squares_inside(squares, AXIAL, SHAPE, SIZE).any()) == known


def test_a_plane_that_is_parallel_or_masked_is_not_known():
    planes = crossing_planes(AXIAL, 0.0, 1.5)
    parallel, masked = planes.clone(), planes.clone()
    parallel[1, 1] = torch.tensor([0.0, math.sin(0.08), math.cos(0.08)])
    masked[0] = torch.nan
    for changed in (parallel, masked):
        squares = squares_on_lines(AXIAL, changed, ("L", "A"), STEP)
        assert torch.isnan(squares.centres).all() and torch.isnan(squares.sides).all()
    assert squares_on_lines(AXIAL, planes, ("L", "A"), STEP).centres.isfinite().all()


@pytest.mark.parametrize("wrong", ["", "X", "LR", "AA", "LAP"])
def test_ends_are_directions_of_the_body(wrong):
    with pytest.raises(ValueError, match="the end of a line must be L, R, A, P, S or I"):
        end_direction(wrong)


MAPS, SIDE, APART = (96, 96), 20.0, 40.0
AFFINE = torch.diag(torch.tensor([-2.5, -2.5, 1, 1], dtype=torch.float64))


def cross(angle: float = 0.3, at=(47.0, 45.0)):
    """A cross in the middle of an axial slice of 2.5 mm pixels, with its squares as certain maps ``(1, 10, 96, 96)``."""
    planes = crossing_planes(AFFINE, angle, angle + 1.2, at)
    squares = squares_on_lines(AFFINE, planes, ("L", "A"), APART)
    labels = square_labels(squares, AFFINE, MAPS, SIDE)
    return squares, torch.nn.functional.one_hot(labels, 10).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("angle", [0.0, 0.3, 0.78])
def test_centres_of_true_maps_are_the_centres(angle):
    squares, maps = cross(angle)
    found = find_squares(maps, AFFINE[None], SIDE)
    away = (found[0] - squares.centres).norm(dim=-1)
    assert float(away.max()) < 0.6  # pixels of 2.5 mm


def test_a_blob_elsewhere_moves_nothing_and_uncertain_pixels_count_less():
    squares, maps = cross()
    clean = find_squares(maps, AFFINE[None], SIDE)
    spoiled = maps.clone()
    spoiled[0, :, 5:8, 85:88] = 0
    spoiled[0, 2, 5:8, 85:88] = 1
    assert torch.allclose(find_squares(spoiled, AFFINE[None], SIDE), clean)
    # with less certainty, the square is still the most probable class
    half = maps.clone()
    half[:, 1:] *= 0.6
    half[:, 0] += 0.4 * (maps[:, 1:].sum(dim=1))
    assert torch.allclose(find_squares(half, AFFINE[None], SIDE), clean, atol=1e-6)


def test_what_is_not_there_is_not_found():
    squares, maps = cross()
    maps[0, 0] += maps[0, 4]
    maps[0, 4] = 0
    found = find_squares(maps, AFFINE[None], SIDE)
    assert torch.isnan(found[0, 3]).all()
    assert torch.isfinite(found[0, [0, 1, 2, 4, 5, 6, 7, 8]]).all()
    assert torch.isnan(find_squares(torch.full((2, 10, 96, 96), 0.1), AFFINE.repeat(2, 1, 1), SIDE)).all()


def test_a_true_cross_has_no_residual_and_others_do():
    centres = cross()[0].centres
    assert float(cross_residual(centres, APART)) == pytest.approx(0, abs=1e-9)
    # some squares are missing, but both lines remain
    fewer = centres.clone()
    fewer[[0, 3, 4, 7, 8]] = torch.nan
    assert float(cross_residual(fewer, APART)) == pytest.approx(0, abs=1e-9)
    # only one line, or only three squares, do not form a cross
    for left in ([0, 1, 2, 3, 4], [0, 1, 5]):
        none = torch.full_like(centres, torch.nan)
        none[left] = centres[left]
        assert math.isnan(float(cross_residual(none, APART)))


def test_residuals_by_hand():
    centres = cross()[0].centres
    # move squares out of the slice: the four near ones up, the four far ones down, so that no cross fits
    bent = centres.clone()
    bent[[1, 3, 5, 7], 2] += 6
    bent[[2, 4, 6, 8], 2] -= 6
    # the mean height is 0, and horizontal lines through it fit best
    assert float(cross_residual(bent, APART)) == pytest.approx(6 * math.sqrt(8 / 9))
    # a cross of another size: near squares are 10 mm too far out, far ones 20 mm
    wide = centres[:1] + 1.25 * (centres - centres[:1])
    assert float(cross_residual(wide, APART)) == pytest.approx(math.sqrt((4 * 10**2 + 4 * 20**2) / 9))
    # left and right exchanged
    swapped = centres[[0, 3, 2, 1, 4, 5, 6, 7, 8]]
    assert float(cross_residual(swapped, APART)) > 20
