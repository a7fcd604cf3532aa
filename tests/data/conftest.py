"""Small volumes for the tests of datasets."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.transforms import Compose, ResizeWithPadOrCropd
from planewise.preprocessing import LoadSliced, StandardizeSliced


def write_volume(path: Path, seed: int, slices: int = 4, size: int = 12) -> Path:
    values = np.random.default_rng(seed).normal(100, 20, size=(size, size, slices)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.5, 1.5, 9, 1])), path)
    return path


@pytest.fixture
def volumes(tmp_path) -> list[dict]:
    """Three exams, each a volume of four slices with a mask."""
    items = []
    for number in range(3):
        image = write_volume(tmp_path / f"{number}.nii.gz", number)
        label = (nibabel.load(image).get_fdata() > 110).astype(np.uint8) * 3
        nibabel.save(nibabel.Nifti1Image(label, np.diag([1.5, 1.5, 9, 1])), tmp_path / f"{number}_gt.nii.gz")
        items.append({"image": str(image), "label": str(tmp_path / f"{number}_gt.nii.gz"), "exam": f"e{number}"})
    return items


@pytest.fixture
def preprocessing() -> Compose:
    keys = ("image", "label")
    return Compose([LoadSliced(keys), ResizeWithPadOrCropd(keys, (16, 16, -1)), StandardizeSliced("image")])
