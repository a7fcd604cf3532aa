"""Test the targets of rotation and order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planewise.pretexts import RotationTargetsd, SlicePairsd, SlicePositiond

#: For each class of a volume, as in Taleb 2020: the plane of rotation, as in numpy, and the number of quarter turns.
TURNS = [((1, 2), 0)] + [(plane, quarters) for plane in ((1, 2), (0, 2), (0, 1)) for quarters in (1, 2, 3)]


def made(spatial_dims: int, count: int = 64, channels: int = 2) -> dict:
    torch.manual_seed(4)
    image = torch.rand(count, channels, *[4] * spatial_dims)
    return RotationTargetsd()({"image": image, "index": torch.arange(count)}) | {"original": image}


def test_a_volume_is_turned_as_numpy_turns_it():
    batch = made(3)
    assert set(batch["rotation"].tolist()) == set(range(10)), "all classes are drawn"
    for image, original, turn in zip(batch["image"], batch["original"], batch["rotation"].tolist(), strict=True):
        plane, quarters = TURNS[turn]
        for channel, before in zip(image.numpy(), original.numpy(), strict=True):
            assert np.array_equal(channel, np.rot90(before, quarters, plane))


def test_a_plane_has_four_turns():
    batch = made(2)
    assert set(batch["rotation"].tolist()) == {0, 1, 2, 3}
    for image, original, turn in zip(batch["image"], batch["original"], batch["rotation"].tolist(), strict=True):
        assert np.array_equal(image[0].numpy(), np.rot90(original[0].numpy(), turn))


def test_all_classes_are_as_likely_and_the_seed_decides():
    batch = made(3, 4000, 1)
    counts = batch["rotation"].bincount(minlength=10)
    # six standard deviations of a binomial of 4000 and a tenth
    assert (counts - 400).abs().max() < 6 * (4000 * 0.1 * 0.9) ** 0.5
    assert torch.equal(batch["rotation"], made(3, 4000, 1)["rotation"])


def batch_of(positions: list[float]) -> dict:
    image = torch.arange(len(positions), dtype=torch.float32)[:, None, None, None].expand(-1, 1, 3, 4)
    return {"image": image, "position": torch.tensor(positions)}


def test_two_slices_are_the_channels_of_a_pair():
    batch = SlicePairsd()(batch_of([0.5, 0.1, 0.0, 0.2, 7, 6]))
    assert batch["image"].shape == (3, 2, 3, 4)
    assert batch["image"][:, :, 0, 0].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert batch["first_is_nearer"].tolist() == [0, 1, 0]


@given(st.lists(st.integers(0, 100), min_size=2, max_size=12, unique=True).filter(lambda some: len(some) % 2 == 0))
def test_the_target_flips_when_the_slices_are_swapped(positions):
    swapped = [position for pair in zip(positions[1::2], positions[::2], strict=True) for position in pair]
    one, other = (SlicePairsd()(batch_of(some)) for some in (positions, swapped))
    assert torch.equal(one["first_is_nearer"], 1 - other["first_is_nearer"])
    expected = [float(first < second) for first, second in zip(positions[::2], positions[1::2], strict=True)]
    assert one["first_is_nearer"].tolist() == expected


def test_positions_come_from_the_datalist():
    items = [{"location": 0.3, "slice": 5}, {"slice": 5}]
    assert [float(SlicePositiond()(item)["position"]) for item in items] == pytest.approx([0.3, 5])
