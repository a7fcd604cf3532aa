"""Test that copies of images are recognised by their pixels."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from planewise.exams.copies import fingerprints

from tests.exams.files import write_image


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda voxels: voxels[:, ::-1, ::-1], id="flipped"),
        pytest.param(lambda voxels: voxels.transpose(2, 0, 1), id="turned"),
        pytest.param(lambda voxels: 100 - voxels, id="negative"),
        pytest.param(lambda voxels: voxels / 7.5, id="rescaled"),
    ],
)
@pytest.mark.parametrize("slices", [6, 7])
def test_a_changed_copy_has_the_same_fingerprints(tmp_path, change, slices):
    voxels = np.random.default_rng(0).poisson(20, (40, 30, slices)).astype("i2")
    for name, array in (("own", voxels), ("copy", change(voxels))):
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii.gz")
    own, copy = (fingerprints(tmp_path / f"{name}.nii.gz") for name in ("own", "copy"))
    assert own == copy and len(own) == 2 - slices % 2


def test_a_colour_image_is_one_image(tmp_path):
    pixels = np.random.default_rng(0).poisson(20, (40, 60, 3)).astype("u1").tobytes()
    values = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, "PixelData": pixels}
    depth = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    file = write_image(tmp_path / "1.dcm", (0, 0, 0), (1, 0, 0), (0, 1, 0), size=(60, 40), **values, **depth)
    assert len(fingerprints(file)) == 1
