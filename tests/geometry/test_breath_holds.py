"""Test shifts between breath-holds on slices of a body whose intensities are known everywhere."""

import math

import pytest
import torch
from planewise.geometry import breath_hold_shifts
from planewise.geometry.breath_holds import LARGEST_SHIFT, USUAL_SHIFT, _cost, _Lines, _normal_equations, _pictures

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


def test_the_gradient_is_that_of_the_cost():
    """Of the whole cost, with what shifts are usually like."""
    images = scanned(some_shifts(1))
    lines, pictures = _Lines(images, AFFINES, THICKNESS), _pictures(images, AFFINES, blur=6.0)
    shifts, precision = some_shifts(5, spread=1.0), 0.3
    _, gradient = _normal_equations(lines, lines.compare(pictures, shifts), shifts, precision)
    numeric = torch.zeros_like(shifts)
    for place in ((0, 2), (2, 0), (4, 1), (7, 1), (8, 0)):
        step = torch.zeros_like(shifts)
        step[place] = SPACING / 2
        high, low = (
            _cost(lines.compare(pictures, there), there, precision) for there in (shifts + step, shifts - step)
        )
        numeric[place] = (high - low) / SPACING
    known = numeric != 0
    assert known.sum() == 5
    assert (gradient.reshape(-1, 3)[known] - numeric[known]).norm() < 0.1 * numeric[known].norm()


def test_a_profile_is_a_mean_over_the_other_images_thickness():
    """Squares of x, in mm: over sheets 3 mm apart, of a slice 9 mm thick across x, the mean is 6 larger. The image's own
    thickness is not asked for."""
    flat = torch.eye(4, dtype=torch.float64)
    across = torch.tensor([[0, 0, 1, 20], [1, 0, 0, 0], [0, 1, 0, -20], [0, 0, 0, 1]], dtype=torch.float64)
    x = torch.arange(41.0, dtype=torch.float64)
    images = [(x**2)[:, None].expand(41, 41), torch.zeros(41, 41)]
    affines = torch.stack([flat, across])
    lines = _Lines(images, affines, torch.tensor([100.0, 9.0], dtype=torch.float64))
    at = torch.tensor([[5.0, 7, 0], [12, 30, 0], [1, 7, 0]], dtype=torch.float64)[None]
    profile, slope, inside = lines._profile(_pictures(images, affines, 0.0), torch.tensor([0]), at, torch.tensor([1]))
    assert profile[0, :2].tolist() == pytest.approx([25 + 6, 144 + 6])
    assert slope[0, :2, 0].tolist() == pytest.approx([10, 24]) and slope[0, :2, 1:].abs().max() < 1e-9
    assert inside.tolist() == [[True, True, False]], "a sheet of the third lies beyond the image"


@pytest.mark.parametrize(("side", "lines"), [(18, 0), (24, 1)])
def test_a_line_counts_with_40_mm_of_it_on_both_images(side, lines):
    """The second image is 34 or 46 mm wide."""
    images = scanned(torch.zeros(2, 3), AFFINES[[3, 7]])
    affines = AFFINES[[3, 7]].clone()
    first = (SIZE - side) // 2
    images[1] = images[1][first : first + side]
    affines[1, :3, 3] += first * affines[1, :3, 0]
    assert len(breath_hold_shifts(images, affines, THICKNESS[:2]).after) == lines


@pytest.mark.parametrize(("degrees", "lines"), [(15, 0), (20, 1)])
def test_planes_that_are_nearly_parallel_have_no_line(degrees, lines):
    angle = math.radians(degrees)
    tilted = image_affine((1, 0, 0), (0, math.cos(angle), math.sin(angle)), (0, 0, 0))
    affines = torch.stack([AFFINES[3], tilted])
    assert len(breath_hold_shifts(scanned(torch.zeros(2, 3), affines), affines, THICKNESS[:2]).after) == lines


def test_lines_are_compared_where_the_planes_meet():
    """Slices at 1, 5 and 12 mm, and planes x = 10 and y = -7 whose images lie elsewhere: the heart is where these meet."""
    affines = torch.stack(
        [image_affine((1, 0, 0), (0, 1, 0), (0, 0, z)) for z in (1, 5, 12)]
        + [image_affine((0, 1, 0), (0, 0, 1), (10, 30, 6)), image_affine((1, 0, 0), (0, 0, 1), (45, -7, 6))]
    )
    lines = _Lines([torch.zeros(SIZE, SIZE)] * 5, affines, THICKNESS[:5])
    assert lines.centre.tolist() == pytest.approx([10, -7, 6])
    # two planes leave their line open: along it, the images' middle
    assert _Lines([torch.zeros(SIZE, SIZE)] * 2, affines[[3, 4]], THICKNESS[:2]).centre.tolist() == pytest.approx(
        [10, -7, 6]
    )


def test_one_image_that_is_far_off_is_found():
    """Further than the walls of this body are thick."""
    true = torch.zeros(len(AFFINES), 3, dtype=torch.float64)
    true[3] = torch.tensor([9.0, -8, 0])
    error = breath_hold_shifts(scanned(true), AFFINES, THICKNESS).shifts - (true - true.mean(dim=0))
    assert error.norm(dim=-1).max() < 1.5


@pytest.mark.parametrize("side", [1, -1])
def test_no_image_moves_further_than_the_search_reaches(side):
    """Of an image that lies 24 mm to either side, the others take up a little."""
    true = torch.zeros(len(AFFINES), 3, dtype=torch.float64)
    true[3, 0] = side * 24
    found = breath_hold_shifts(scanned(true), AFFINES, THICKNESS).shifts
    others = torch.cat([found[:3], found[4:]]).mean(dim=0)
    assert LARGEST_SHIFT < side * float((found[3] - others)[0]) < 20


def test_large_shifts_are_not_lost_in_fine_stripes():
    """Stripes 9 mm apart fit as well one stripe further: what is blurred has none, so the body decides."""

    def striped(points):
        return body(points) + 100 * (2 * math.pi / 9 * points[..., [0, 2]]).sin().prod(dim=-1)

    true = torch.zeros(len(AFFINES), 3, dtype=torch.float64)
    true[8] = torch.tensor([7.0, 0, 7])
    images = scanned(true, thickness=0.0, seen=striped)
    error = breath_hold_shifts(images, AFFINES, torch.zeros(len(AFFINES))).shifts - (true - true.mean(dim=0))
    assert error.norm(dim=-1).max() < 1


def test_noise_does_not_move_images_that_lie_well():
    """The exam's own spread is small, which holds its images; with the usual spread the median would be moved by 2 mm."""
    draws = torch.manual_seed(2)
    images = [image + 60 * torch.randn(SIZE, SIZE, generator=draws) for image in scanned(torch.zeros(len(AFFINES), 3))]
    assert breath_hold_shifts(images, AFFINES, THICKNESS).shifts.norm(dim=-1).median() < 0.8
