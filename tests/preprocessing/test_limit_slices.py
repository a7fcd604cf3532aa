from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from planewise.preprocessing import LimitSlicesd
from planewise.preprocessing.limit_slices import evenly_spaced


@pytest.mark.parametrize(
    ("count", "most", "ranks"),
    [(5, None, [0, 1, 2, 3, 4]), (3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (10, 4, [0, 3, 6, 9]), (6, 4, [0, 2, 3, 5])],
)
def test_evenly_from_the_first_to_the_last(count, most, ranks):
    assert evenly_spaced(count, most) == ranks


def test_a_volume_keeps_as_many_as_it_may():
    image = MetaTensor(torch.arange(9.0).expand(1, 2, 2, 9))
    item = LimitSlicesd("image", max_slices=3)({"image": image})
    assert item["image"].shape == (1, 2, 2, 3) and item["image"][0, 0, 0].tolist() == [0, 4, 8]
    assert item["kept_slices"] == [0, 4, 8]
    assert LimitSlicesd("image", None)({"image": image})["image"].shape[-1] == 9
