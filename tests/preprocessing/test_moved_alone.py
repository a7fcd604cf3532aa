"""Test which of MONAI's transforms move an image without its mask."""

from __future__ import annotations

import pytest
from monai.transforms import (
    Affined,
    Flipd,
    Orientationd,
    RandFlipd,
    RandGaussianNoised,
    RandSimulateLowResolutiond,
    ResampleToMatchd,
    Resized,
    ResizeWithPadOrCropd,
    ScaleIntensityd,
    Spacingd,
    SpatialPadd,
    Zoomd,
)
from planewise.preprocessing import InPlaneSpacingd
from planewise.preprocessing.moved_alone import moved_alone

BOTH = ["image", "label"]


@pytest.mark.parametrize(
    ("steps", "alone"),
    [
        ([ScaleIntensityd("image"), Flipd(BOTH), RandFlipd(BOTH), RandGaussianNoised("image")], None),
        ([Flipd("image")], "Flipd"),
        ([Flipd("label")], "Flipd"),
        ([InPlaneSpacingd("image", (1.0, 1.0, -1.0))], "InPlaneSpacingd"),
        # two interpolations
        ([Spacingd("image", 1.0, mode="bilinear"), Spacingd("label", 1.0, mode="nearest")], None),
        # each draws a flip of its own
        ([RandFlipd("image"), RandFlipd("label")], "RandFlipd"),
        ([Orientationd("image", "RAS"), ResampleToMatchd("label", key_dst="image")], None),
        ([ResampleToMatchd("label", key_dst="image"), Flipd("image")], "Flipd"),
        ([RandSimulateLowResolutiond("image")], None),
        # other classes that may do the same
        ([SpatialPadd("image", (8, 8)), ResizeWithPadOrCropd("label", (8, 8))], None),
        ([Resized("image", (8, 8)), Zoomd("label", 2.0)], None),
        ([Flipd("image"), Affined("label", scale_params=(-1, -1))], None),
        ([Orientationd("image", "RAS"), Spacingd("image", 1.0)], "Orientationd"),
        ([Affined("image", scale_params=(2, 2))], "Affined"),
    ],
)
def test_a_transform_of_only_one_of_image_and_mask_is_found(steps, alone):
    assert moved_alone(steps, ["label"]) == alone
    assert moved_alone(steps, []) is None
