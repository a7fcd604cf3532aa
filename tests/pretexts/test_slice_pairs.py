from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planewise.errors import InputError
from planewise.pretexts import SlicePairsd, SlicePositiond


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


def test_what_is_no_pair_is_refused():
    with pytest.raises(
        InputError, match="pairs need an even number of single-channel slices, got 3 slices of 1 channels"
    ):
        SlicePairsd()(batch_of([1, 2, 3]))
