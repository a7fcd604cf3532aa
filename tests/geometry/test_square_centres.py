"""Test squares found in maps made by hand, and their crossing points worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from planewise.geometry import cross_residual, find_squares, square_labels, squares_on_lines

from .test_squares import crossing_planes

SHAPE, SIZE, STEP = (96, 96), 20.0, 40.0
AFFINE = torch.diag(torch.tensor([-2.5, -2.5, 1, 1], dtype=torch.float64))


def cross(angle: float = 0.3, at=(47.0, 45.0)):
    """A cross in the middle of an axial slice of 2.5 mm pixels, with its squares as certain maps ``(1, 10, 96, 96)``."""
    planes = crossing_planes(AFFINE, angle, angle + 1.2, at)
    squares = squares_on_lines(AFFINE, planes, ("L", "A"), STEP)
    labels = square_labels(squares, AFFINE, SHAPE, SIZE)
    return squares, torch.nn.functional.one_hot(labels, 10).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("angle", [0.0, 0.3, 0.78])
def test_centres_of_true_maps_are_the_centres(angle):
    squares, maps = cross(angle)
    found = find_squares(maps, AFFINE[None], SIZE)
    away = (found.centres[0] - squares.centres).norm(dim=-1)
    assert float(away.max()) < 0.6  # pixels of 2.5 mm
    assert float(found.filled.min()) > 0.7


def test_a_blob_elsewhere_moves_nothing_and_uncertain_pixels_count_less():
    squares, maps = cross()
    clean = find_squares(maps, AFFINE[None], SIZE)
    spoiled = maps.clone()
    spoiled[0, :, 5:8, 85:88] = 0
    spoiled[0, 2, 5:8, 85:88] = 1
    assert torch.allclose(find_squares(spoiled, AFFINE[None], SIZE).centres, clean.centres)
    # with less certainty, the square is still the most probable class, but has a lower score
    half = maps.clone()
    half[:, 1:] *= 0.6
    half[:, 0] += 0.4 * (maps[:, 1:].sum(dim=1))
    faint = find_squares(half, AFFINE[None], SIZE)
    assert torch.allclose(faint.filled, 0.6 * clean.filled, atol=1e-6)
    assert torch.allclose(faint.centres, clean.centres, atol=1e-6)


def test_what_is_not_there_is_not_found():
    squares, maps = cross()
    maps[0, 0] += maps[0, 4]
    maps[0, 4] = 0
    found = find_squares(maps, AFFINE[None], SIZE)
    assert torch.isnan(found.centres[0, 3]).all() and float(found.filled[0, 3]) == 0
    assert torch.isfinite(found.centres[0, [0, 1, 2, 4, 5, 6, 7, 8]]).all()
    assert torch.isnan(find_squares(torch.full((2, 10, 96, 96), 0.1), AFFINE.repeat(2, 1, 1), SIZE).centres).all()


def test_a_true_cross_has_no_residual_and_others_do():
    centres = cross()[0].centres
    assert float(cross_residual(centres, STEP)) == pytest.approx(0, abs=1e-9)
    # some squares are missing, but both lines remain
    fewer = centres.clone()
    fewer[[0, 3, 4, 7, 8]] = torch.nan
    assert float(cross_residual(fewer, STEP)) == pytest.approx(0, abs=1e-9)
    # only one line, or only three squares, do not form a cross
    for left in ([0, 1, 2, 3, 4], [0, 1, 5]):
        none = torch.full_like(centres, torch.nan)
        none[left] = centres[left]
        assert math.isnan(float(cross_residual(none, STEP)))


def test_residuals_by_hand():
    centres = cross()[0].centres
    # move squares out of the slice: the four near ones up, the four far ones down, so that no cross fits
    bent = centres.clone()
    bent[[1, 3, 5, 7], 2] += 6
    bent[[2, 4, 6, 8], 2] -= 6
    # the mean height is 0, and horizontal lines through it fit best
    assert float(cross_residual(bent, STEP)) == pytest.approx(6 * math.sqrt(8 / 9))
    # a cross of another size: near squares are 10 mm too far out, far ones 20 mm
    wide = centres[:1] + 1.25 * (centres - centres[:1])
    assert float(cross_residual(wide, STEP)) == pytest.approx(math.sqrt((4 * 10**2 + 4 * 20**2) / 9))
    # left and right exchanged
    swapped = centres[[0, 3, 2, 1, 4, 5, 6, 7, 8]]
    assert float(cross_residual(swapped, STEP)) > 20
