"""Test that MONAI's saving works with our writer."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImage
from planewise.evaluation import VolumeWriter


@pytest.mark.parametrize("slices", [1, 3])
def test_a_volume_keeps_its_three_axes_and_its_affine(slices, tmp_path):
    values = torch.arange(4 * 5 * slices, dtype=torch.float32).reshape(1, 4, 5, slices)
    affine = np.array([[0, -2.0, 0, 9], [1.5, 0, 0, -7], [0, 0, 8, 3], [0, 0, 0, 1]])
    image = MetaTensor(values, affine=torch.from_numpy(affine), meta={"filename_or_obj": "heart"})
    save = SaveImage(
        tmp_path, "mask", separate_folder=False, output_dtype="uint8", print_log=False, writer=VolumeWriter
    )
    save(image)
    written = nibabel.load(tmp_path / "heart_mask.nii.gz")
    assert written.shape == (4, 5, slices) and np.array_equal(np.asarray(written.dataobj), values[0].numpy())
    assert np.allclose(written.affine, affine)
