"""Test the mark of predicted masks."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from planewise.files.masks import is_corrected, is_predicted, mark_predicted


@pytest.fixture
def mask():
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.diag([-2.0, 1.5, 8, 1]))
    mark_predicted(image)
    return image


def saved(path, image):
    nibabel.save(image, path)
    return path


def test_a_mark_does_not_depend_on_the_name_type_or_order_of_axes(mask, tmp_path):
    path = saved(tmp_path / "frame01.nii.gz", mask)
    assert is_predicted(path) and nibabel.load(path).header["descrip"].item().startswith(b"planewise predicted ")
    again = nibabel.Nifti1Image(np.asarray(mask.dataobj).astype(np.float64), mask.affine, mask.header)
    assert is_predicted(saved(tmp_path / "float.nii", again))
    turned = nibabel.as_closest_canonical(nibabel.load(path))
    assert turned.affine[0, 0] > 0 and is_predicted(saved(tmp_path / "turned.nii", turned))
    assert is_predicted(saved(tmp_path / "other.nii", nibabel.Nifti2Image.from_image(again)))


def test_a_corrected_mask_is_a_persons_even_if_the_viewer_keeps_the_header(mask, tmp_path):
    voxels = np.array(mask.dataobj)
    voxels[1, 1, 1] = 0
    corrected = nibabel.Nifti1Image(voxels, mask.affine, mask.header)
    assert corrected.header["descrip"] == mask.header["descrip"]
    path = saved(tmp_path / "corrected.nii.gz", corrected)
    assert not is_predicted(path) and is_corrected(path)


def test_masks_without_a_mark_and_files_that_cannot_be_read(mask, tmp_path):
    plain = nibabel.Nifti1Image(np.asarray(mask.dataobj), mask.affine)
    plain = saved(tmp_path / "plain.nii.gz", plain)
    assert not is_predicted(plain) and is_corrected(plain)
    path = saved(tmp_path / "cut.nii.gz", mask)
    path.write_bytes(path.read_bytes()[:-20])
    assert not is_predicted(path) and not is_predicted(tmp_path / "missing.nii.gz")
    # a person may have opened a truncated mask
    assert is_corrected(path) and not is_corrected(tmp_path / "missing.nii.gz")
