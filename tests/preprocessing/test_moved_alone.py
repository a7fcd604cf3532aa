"""Test which of MONAI's transforms move an image without its mask."""

from __future__ import annotations

import pytest
from monai.transforms import (
    Flipd,
    Orientationd,
    RandFlipd,
    RandGaussianNoised,
    RandSimulateLowResolutiond,
    ResampleToMatchd,
    ScaleIntensityd,
    Spacingd,
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
        ([Orientationd(BOTH, "RAS"), ResampleToMatchd("label", key_dst="image")], None),
        ([Spacingd("image", 1.0), Spacingd("label", 1.0)], "Spacingd"),
        ([RandSimulateLowResolutiond("image")], None),
    ],
)
def test_a_transform_of_only_one_of_image_and_mask_is_found(steps, alone):
    assert moved_alone(steps, ["label"]) == alone
    assert moved_alone(steps, []) is None
