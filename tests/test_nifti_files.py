from __future__ import annotations

import nibabel
import numpy as np
import pytest
from planewise.nifti_files import is_nifti, write_nifti


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 255], np.uint8),
        ([0, 256], np.int16),
        ([-1, 255], np.int16),
        ([-32768, 32767], np.int16),
        ([0, 32768], np.float32),
        ([-32769, 0], np.float32),
        ([0, 0.5], np.float32),
        ([True, False], np.uint8),
    ],
)
def test_values_are_stored_in_the_fewest_bits_and_in_millimetres(values, kind, tmp_path):
    affine = np.array([[0.0, -2.0, 0, 5], [1.5, 0, 0, -3], [0, 0, 8, 1], [0, 0, 0, 1]])
    array = np.array(values)[:, None, None] * np.ones((1, 3, 4), dtype=np.array(values).dtype)
    write_nifti(tmp_path / "volume.nii.gz", array, affine)
    image = nibabel.load(tmp_path / "volume.nii.gz")
    assert image.get_data_dtype() == kind and np.array_equal(image.get_fdata(), array)
    assert image.header.get_xyzt_units()[0] == "mm"
    for given, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        assert code == 1 and np.allclose(given, affine, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["volume.nii.gz"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.nii", True), ("a.nii.gz", True), ("A.NII.Gz", True), ("nii.gz", False), ("a.nii.zip", False), ("a.gz", False)],
)
def test_a_name_is_nifti_by_its_ending(name, expected, tmp_path):
    assert is_nifti(name) == is_nifti(tmp_path / name) == expected
