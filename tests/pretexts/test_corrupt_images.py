"""Test that Models Genesis makes each change at its probability and changes the target only by flips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planewise.errors import InputError
from planewise.pretexts import CorruptImagesd, corrupt_images
from planewise.pretexts.corrupt_images import in_windows, local_shuffle, nonlinear_intensity, unit_range, window_sizes

NONE = {"flip_prob": 0.0, "shuffle_prob": 0.0, "nonlinear_prob": 0.0, "paint_prob": 0.0}


def images(count=400, side=28):
    torch.manual_seed(1)
    return torch.randn(count, 1, side, side)


def spoilt(image, **settings):
    torch.manual_seed(0)
    return CorruptImagesd(**{**NONE, **settings})({"image": image.clone(), "index": torch.arange(len(image))})


def share(changed):
    return changed.float().mean().item()


def flips_of(image, target):
    """The axes along which each target is flipped; None if no flip gives the target."""
    axes = [(), (2,), (3,), (2, 3)]
    same = torch.stack([(image.flip(each) == target).flatten(1).all(1) for each in axes], dim=1)
    assert same.any(dim=1).all(), "no flip of the image gives the target"
    return same.int().argmax(dim=1)


def test_nothing_happens_at_probability_zero():
    image = images(20)
    batch = spoilt(image)
    torch.testing.assert_close(batch["image"], image)
    assert torch.equal(batch["restored"], image)
    assert batch["index"].tolist() == list(range(20))


def test_nothing_but_flips_reaches_the_target():
    image = images()
    batch = spoilt(image, flip_prob=0.4, shuffle_prob=0.5, nonlinear_prob=0.9, paint_prob=0.9)
    flips = torch.bincount(flips_of(image, batch["restored"]), minlength=4) / len(image)
    # four of ten are flipped, along one axis, the other, or both
    torch.testing.assert_close(flips, torch.tensor([0.6, 0.4 / 3, 0.4 / 3, 0.4 / 3]), atol=0.06, rtol=0)
    assert (batch["image"] != batch["restored"]).flatten(1).any(1).float().mean() > 0.95


def test_image_and_target_are_flipped_alike():
    batch = spoilt(images(50), flip_prob=0.5)
    torch.testing.assert_close(batch["image"], batch["restored"])


@pytest.mark.parametrize(("name", "probability"), [("shuffle_prob", 0.5), ("nonlinear_prob", 0.9), ("paint_prob", 0.9)])
def test_each_change_has_its_probability(name, probability):
    image = images()
    changed = ((spoilt(image, **{name: probability})["image"] - image).abs() > 1e-4).flatten(1).any(1)
    # in one of four cases the window is a single pixel, and nothing changes
    expected = probability * 0.75 if name == "shuffle_prob" else probability
    assert share(changed) == pytest.approx(expected, abs=0.08)


def test_shuffling_keeps_every_value():
    image = images(40, side=60)
    shuffled = spoilt(image, shuffle_prob=1.0)["image"]
    torch.testing.assert_close(shuffled.flatten(1).sort(1).values, image.flatten(1).sort(1).values)
    assert share((shuffled - image).abs() > 1e-4) > 0.6


def test_windows_follow_each_side_of_an_oblong_image():
    """Pixels that carry their positions: 24 rows and 60 columns are shuffled within 2 rows and 6 columns at most."""
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(60.0), indexing="ij")
    image = (100 * rows + columns).expand(300, 1, 24, 60)
    found = spoilt(image, shuffle_prob=1.0)["image"].round()
    moved = [(found // 100 - rows).abs().amax(), (found % 100 - columns).abs().amax()]
    assert [int(step) for step in moved] == [1, 5]


@pytest.mark.parametrize(("in_paint", "smallest", "largest"), [(1.0, [4, 10], [8, 20]), (0.0, [11, 26], [14, 35])])
def test_windows_have_the_sides_of_the_authors_code(in_paint, smallest, largest, monkeypatch):
    """Painted windows have a sixth to a third of each side, 24 and 60 pixels; those that are kept lack 3/7 to 4/7."""
    drawn = []
    windows = corrupt_images.in_windows
    monkeypatch.setattr(corrupt_images, "in_windows", lambda *given: drawn.append(given[2]) or windows(*given))
    spoilt(torch.randn(300, 1, 24, 60), paint_prob=1.0, inpaint_prob=in_paint)
    sizes = drawn[0].flatten(0, 1)
    sizes = sizes[sizes.any(dim=1)]
    assert sizes.amin(dim=0).tolist() == smallest and sizes.amax(dim=0).tolist() == largest


def test_curves_keep_or_turn_the_order_of_values():
    image = images(200)
    curved = spoilt(image, nonlinear_prob=1.0)["image"].flatten(1)
    order = image.flatten(1).argsort(1)
    steps = curved.gather(1, order).diff(dim=1)
    rises, falls = (steps >= -1e-4).all(1), (steps <= 1e-4).all(1)
    assert (rises ^ falls).all()
    assert share(falls) == pytest.approx(0.5, abs=0.1)
    # on the image's own scale, from its smallest to its largest value
    torch.testing.assert_close(curved.amin(1), image.flatten(1).amin(1), atol=1e-3, rtol=0)
    torch.testing.assert_close(curved.amax(1), image.flatten(1).amax(1), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("in_paint", "least", "most"), [(1.0, 0.02, 0.45), (0.0, 0.1, 0.85)])
def test_windows_are_painted_or_all_but_windows(in_paint, least, most):
    image = images(side=42)
    painted = ((spoilt(image, paint_prob=1.0, inpaint_prob=in_paint)["image"] - image).abs() > 1e-4).squeeze(1)
    some = painted.flatten(1).any(1) & ~painted.flatten(1).all(1)
    # in one of twenty cases there is no window to paint, so nothing is painted; there is always a window to keep
    assert share(some) == (pytest.approx(0.95, abs=0.04) if in_paint else 1.0)
    shares = painted[some].float().mean(dim=(1, 2))
    assert least < shares.mean() < most
    # painted windows are a third of the side at most, and five of them at most; kept ones 3/7 at least
    assert shares.max() <= (5 / 9 if in_paint else 1 - (3 / 7) ** 2) + 0.02


@pytest.mark.parametrize("in_paint", [1.0, 0.0])
def test_windows_reach_every_edge(in_paint):
    """In a thousand images, windows reach the first and the last row and column in more than a tenth of the images, and
    each of them about equally often.
    """
    image = images(1000, side=28)
    hidden = spoilt(image, paint_prob=1.0, inpaint_prob=in_paint)["hidden"][:, 0]
    window = hidden if in_paint else ~hidden
    edges = [share(edge.any(1)) for edge in (window[:, 0], window[:, -1], window[:, :, 0], window[:, :, -1])]
    assert min(edges) > 0.1 and max(edges) - min(edges) < 0.08, edges


def test_a_fifth_is_painted_inside():
    image = images(600, side=42)
    painted = ((spoilt(image, paint_prob=1.0)["image"] - image).abs() > 1e-4).squeeze(1)
    # the corner is hardly ever inside a window, so it tells whether the outside was painted
    outside = painted[:, :2, :2].flatten(1).float().mean(1) > 0.5
    assert share(outside) == pytest.approx(0.8, abs=0.1)


def test_what_is_painted_is_told():
    image = images(100)
    batch = spoilt(image, paint_prob=0.5)
    assert batch["hidden"].shape == image.shape and batch["hidden"].dtype == torch.bool
    assert not ((batch["image"] - image).abs() > 1e-4)[~batch["hidden"]].any()
    assert share(((batch["image"] - image).abs() > 1e-4)[batch["hidden"]]) > 0.99
    assert share(batch["hidden"].flatten(1).any(1)) == pytest.approx(0.5, abs=0.15)


def test_noise_lies_in_the_images_range():
    image = images(60)
    noisy = spoilt(image, paint_prob=1.0)["image"]
    assert (noisy.amin(dim=(1, 2, 3)) >= image.amin(dim=(1, 2, 3)) - 1e-4).all()
    assert (noisy.amax(dim=(1, 2, 3)) <= image.amax(dim=(1, 2, 3)) + 1e-4).all()


def test_images_of_one_value_stay_finite():
    batch = spoilt(torch.full((8, 1, 20, 20), 3.0), flip_prob=1.0, shuffle_prob=1.0, nonlinear_prob=1.0, paint_prob=1.0)
    assert torch.equal(batch["image"], torch.full((8, 1, 20, 20), 3.0))


def test_draws_decide_and_the_seed_decides_draws():
    image = images(6)
    first, again = (spoilt(image, shuffle_prob=0.5, nonlinear_prob=0.9, paint_prob=0.9)["image"] for _ in range(2))
    assert torch.equal(first, again)
    other = CorruptImagesd()({"image": image})["image"]
    assert not torch.equal(first, other)


def test_unit_range_by_hand():
    scaled, low, span = unit_range(torch.tensor([[[[2.0, 4.0, 6.0]]], [[[5.0, 5.0, 5.0]]]]))
    assert scaled.tolist() == [[[[0.0, 0.5, 1.0]]], [[[0.0, 0.0, 0.0]]]]
    assert low.flatten().tolist() == [2.0, 5.0] and span.flatten().tolist() == [4.0, 0.0]


def test_window_sizes_reach_both_ends():
    sizes = window_sizes(torch.tensor([[0.0, 0.0], [0.999, 0.999]]), torch.tensor([2, 3]), torch.tensor([5, 3]))
    assert sizes.tolist() == [[2, 3], [5, 3]]


def test_what_cannot_be_spoilt():
    with pytest.raises(InputError, match="choose an --image_size of 12 or more"):
        CorruptImagesd()({"image": torch.zeros(1, 1, 8, 40)})
    with pytest.raises(ValueError, match="one channel"):
        CorruptImagesd()({"image": torch.zeros(1, 3, 40, 40)})
    with pytest.raises(ValueError, match="shuffle_prob must be a probability"):
        CorruptImagesd(shuffle_prob=1.5)


def test_what_is_drawn_for_every_pixel_is_drawn_where_the_images_are(monkeypatch):
    copied = []

    def counted(tensor, device):
        copied.append(tensor.numel())
        return tensor.to(device)

    monkeypatch.setattr(corrupt_images, "to_device", counted)
    spoilt(images(4), flip_prob=0.5, shuffle_prob=1.0, nonlinear_prob=1.0, paint_prob=1.0)
    assert copied and max(copied) < 28 * 28, "only arrays smaller than an image are copied to the device"


def shuffled_one_by_one(image, window, offset, keys):
    shuffled = image.clone()
    _, channels, rows, columns = image.shape
    for number, ((height, width), (up, left)) in enumerate(zip(window.tolist(), offset.tolist(), strict=True)):
        key = keys[number].reshape(rows, columns)
        for top in range(-up, rows, height):
            for side in range(-left, columns, width):
                part = (slice(max(top, 0), top + height), slice(max(side, 0), side + width))
                order = key[part].flatten().argsort()
                if len(order):
                    pixels = image[number][(slice(None), *part)]
                    mixed = pixels.flatten(1)[:, order].reshape(pixels.shape)
                    shuffled[number][(slice(None), *part)] = mixed
    return shuffled


def test_the_pixels_of_each_window_are_put_in_the_order_of_their_keys():
    torch.manual_seed(0)
    image, keys = torch.rand(5, 2, 13, 10), torch.rand(5, 130)
    window = torch.tensor([[1, 1], [3, 2], [4, 4], [2, 5], [13, 10]])
    offset = torch.tensor([[0, 0], [2, 1], [0, 3], [1, 4], [0, 0]])
    shuffled = local_shuffle(image, window, offset, keys)
    assert torch.equal(shuffled, shuffled_one_by_one(image, window, offset, keys))
    assert torch.equal(shuffled[0], image[0]), "windows of one pixel"
    assert not torch.equal(shuffled[4], image[4])


def test_no_pixel_is_lost_and_none_leaves_its_window():
    torch.manual_seed(1)
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(20.0), indexing="ij")
    places = torch.stack([rows, columns])[None].repeat(3, 1, 1, 1)
    window, offset = torch.tensor([[4, 3]] * 3), torch.tensor([[1, 2]] * 3)
    moved = local_shuffle(places, window, offset, torch.rand(3, 480))
    for each in moved:
        assert sorted(map(tuple, each.flatten(1).T.tolist())) == sorted(map(tuple, places[0].flatten(1).T.tolist()))
    far = (moved - places).abs().amax(dim=(0, 2, 3))
    assert far.tolist() == [3, 2]


def mapped_one_by_one(image, control, inverted):
    mapped = []
    for values, ((ax, ay), (bx, by)), falls in zip(image, control, inverted, strict=True):
        xs, ys = [], []
        for t in np.linspace(0, 1, 1000):
            xs.append(3 * (1 - t) ** 2 * t * ax + 3 * (1 - t) * t**2 * bx + t**3)
            ys.append(3 * (1 - t) ** 2 * t * ay + 3 * (1 - t) * t**2 * by + t**3)
        curve = np.interp(values, xs, ys)
        mapped.append(1 - curve if falls else curve)
    return np.stack(mapped)


def test_each_image_goes_through_its_own_curve():
    torch.manual_seed(0)
    image, control = torch.rand(6, 1, 9, 7, dtype=torch.float64), torch.rand(6, 2, 2, dtype=torch.float64)
    inverted = torch.tensor([True, False] * 3)
    expected = mapped_one_by_one(image.numpy(), control.tolist(), inverted.tolist())
    np.testing.assert_allclose(nonlinear_intensity(image, control, inverted).numpy(), expected, atol=1e-9)


def test_curves_rise_or_fall_from_end_to_end():
    torch.manual_seed(0)
    ramp = torch.linspace(0, 1, 200, dtype=torch.float64).expand(50, 200)
    control = torch.rand(50, 2, 2, dtype=torch.float64)
    up = nonlinear_intensity(ramp, control, torch.zeros(50, dtype=torch.bool))
    down = nonlinear_intensity(ramp, control, torch.ones(50, dtype=torch.bool))
    assert (up.diff() >= -1e-12).all()
    torch.testing.assert_close(up[:, [0, -1]], torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(50, 2))
    torch.testing.assert_close(down, 1 - up)


def test_control_points_on_the_diagonal_change_nothing():
    ramp = torch.linspace(0, 1, 77, dtype=torch.float64)[None]
    third = torch.tensor([[[1 / 3, 1 / 3], [2 / 3, 2 / 3]]], dtype=torch.float64)
    torch.testing.assert_close(nonlinear_intensity(ramp, third, torch.tensor([False])), ramp)


def test_a_steep_curve_has_no_gap():
    # both control points are at x = 0, so many points of the curve have nearly the same x
    values = torch.rand(1, 500)
    mapped = nonlinear_intensity(values, torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]), torch.tensor([False]))
    assert torch.isfinite(mapped).all() and (mapped >= values - 1e-6).all()


def test_pixels_of_any_window():
    torch.manual_seed(0)
    image = torch.zeros(4, 2, 12, 9)
    corners, sizes = torch.randint(0, 8, (4, 3, 2)), torch.randint(0, 6, (4, 3, 2))
    expected = torch.zeros(4, 1, 12, 9, dtype=torch.bool)
    for number in range(4):
        for (row, column), (height, width) in zip(corners[number].tolist(), sizes[number].tolist(), strict=True):
            expected[number, :, row : row + height, column : column + width] = True
    assert torch.equal(in_windows(image, corners, sizes), expected)
    assert expected.any() and not expected.all()
