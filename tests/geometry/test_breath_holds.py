"""Shifts between breath-holds, on slices through a body whose intensities are known everywhere."""

import math

import pytest
import torch
from planewise.geometry import breath_hold_shifts
from planewise.geometry.breath_holds import USUAL_SHIFT, _Lines, _pictures

SIZE, SPACING = 72, 2.0


def body(points):
    """Intensity at points ``(..., 3)``, mm: a thick shell that narrows downwards, with lumps at its side."""
    x, y, z = points.unbind(-1)
    radius = torch.hypot(x / 1.2, y) + 0.25 * z
    shell = torch.exp(-(((radius - 30) / 8) ** 2))
    lumps = sum(
        torch.exp(-((points - torch.tensor(at, dtype=torch.float64)).square().sum(-1)) / 2 / 12**2)
        for at in ((45.0, 10, 15), (-40, -30, -10), (10, 48, 30), (-20, 45, -30), (15, -45, 5))
    )
    return 300 * shell + 500 * lumps


def image_affine(row, column, centre):
    row, column = (torch.tensor(v, dtype=torch.float64) / math.hypot(*v) for v in (row, column))
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, 0], affine[:3, 1] = SPACING * row, SPACING * column
    affine[:3, 2] = torch.linalg.cross(row, column)
    affine[:3, 3] = torch.tensor(centre, dtype=torch.float64) - affine[:3, :2].sum(dim=1) * (SIZE - 1) / 2
    return affine


AFFINES = torch.stack(
    [image_affine((1, 0, 0), (0, 1, 0), (0, 0, z)) for z in (-30, -20, -10, 0, 10, 20, 30)]
    + [image_affine((1, 0, 0), (0, 0, 1), (0, 0, 0)), image_affine((0.5, 1, 0), (0, 0, 1), (0, 0, 0))]
)
THICKNESS = torch.full((len(AFFINES),), 6.0)


def scanned(shifts, affines=AFFINES, thickness=6.0, seen=body):
    """What images show that are taken ``shifts`` away from where their affines say."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(SIZE, dtype=torch.float64)] * 2, indexing="ij"), dim=-1)
    images = []
    for affine, shift in zip(affines, shifts, strict=True):
        points = grid @ affine[:3, :2].T + affine[:3, 3] + shift
        sheets = [seen(points + share * thickness * affine[:3, 2]) for share in (-1 / 3, 0, 1 / 3)]
        images.append(torch.stack(sheets).mean(dim=0))
    return images


def some_shifts(seed, spread=3.0):
    shifts = spread * torch.randn(len(AFFINES), 3, dtype=torch.float64, generator=torch.manual_seed(seed))
    return shifts - shifts.mean(dim=0)


@pytest.fixture(scope="module")
def found():
    true = some_shifts(1)
    return true, breath_hold_shifts(scanned(true), AFFINES, THICKNESS)


def test_known_shifts_are_found(found):
    true, result = found
    error = (result.shifts - true).norm(dim=-1)
    assert true.norm(dim=-1).median() > 3.5
    assert error.median() < 0.4 and error.max() < 1.5
    assert result.shifts.mean(dim=0).abs().max() < 1e-9
    # seven slices cut two long axes, and these each other
    assert len(result.after) == 15 and result.after.min() > result.before.median()
    assert (result.uncertainty > 0).all() and (result.uncertainty < 1.5).all()


def test_an_exam_without_shifts_stays_as_it_is():
    result = breath_hold_shifts(scanned(torch.zeros(len(AFFINES), 3)), AFFINES, THICKNESS)
    assert result.shifts.norm(dim=-1).max() < 0.15


def test_each_image_may_have_its_own_gain_and_offset(found):
    _, expected = found
    images = [(3 + k) * image + 100 * k for k, image in enumerate(scanned(some_shifts(1)))]
    assert torch.allclose(breath_hold_shifts(images, AFFINES, THICKNESS).shifts, expected.shifts, atol=1e-3)


def test_a_turned_patient_has_turned_shifts(found):
    _, expected = found
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.manual_seed(4)))[0]
    turn = turn * torch.linalg.det(turn)
    moved = torch.eye(4, dtype=torch.float64)
    moved[:3, :3], moved[:3, 3] = turn, torch.tensor([10.0, -20, 30], dtype=torch.float64)
    result = breath_hold_shifts(scanned(some_shifts(1)), moved @ AFFINES, THICKNESS)
    assert torch.allclose(result.shifts, expected.shifts @ turn.T, atol=1e-3)


def test_images_of_one_grey_move_nothing_and_say_nothing():
    flat = [torch.full((SIZE, SIZE), 100.0) for _ in AFFINES]
    result = breath_hold_shifts(flat, AFFINES, THICKNESS)
    assert result.shifts.abs().max() == 0
    # all that is known is what shifts usually are, less their mean
    usual = USUAL_SHIFT * math.sqrt(3 * (1 - 1 / len(AFFINES)))
    assert result.uncertainty.tolist() == pytest.approx([usual] * len(AFFINES))


def test_parallel_images_have_no_lines():
    result = breath_hold_shifts(scanned(some_shifts(2))[:7], AFFINES[:7], THICKNESS[:7])
    assert not len(result.after) and result.shifts.abs().max() == 0
    with pytest.raises(ValueError, match="got none"):
        breath_hold_shifts([], AFFINES[:0], THICKNESS[:0])


def test_an_image_of_something_else_does_not_move_the_others():
    true = some_shifts(3)
    images = scanned(true)
    images[6] = torch.rand(SIZE, SIZE, generator=torch.manual_seed(0), dtype=torch.float64)
    error = breath_hold_shifts(images, AFFINES, THICKNESS).shifts - true
    others = [k for k in range(len(AFFINES)) if k != 6]
    error = error[others] - error[others].mean(dim=0)
    assert error.norm(dim=-1).median() < 0.5


def test_slopes_are_those_of_finite_differences():
    images = scanned(some_shifts(1))
    lines, pictures = _Lines(images, AFFINES, THICKNESS), _pictures(images, AFFINES, blur=6.0)
    shifts = some_shifts(5, spread=1.0)
    compared = lines.compare(pictures, shifts)
    step = SPACING / 2  # within a pixel, values are interpolated linearly
    for image, axis in ((2, 0), (4, 2), (7, 1), (8, 0)):
        moved = [shifts.clone(), shifts.clone()]
        moved[0][image, axis] -= step
        moved[1][image, axis] += step
        low, high = (lines.compare(pictures, there).residual for there in moved)
        numeric = (high - low) / (2 * step)
        own = torch.where(lines.first[:, None] == image, compared.slope[..., axis], compared.slope[..., 3 + axis])
        has = (lines.first == image) | (lines.second == image)
        assert (numeric[~has] == 0).all()
        assert (numeric[has] - own[has]).norm() < 0.1 * numeric[has].norm()
