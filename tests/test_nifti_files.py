from __future__ import annotations

import nibabel
import numpy as np
import pytest
from planewise.exams.volume import Volume, exams_of_volumes
from planewise.files.masks import read_mask
from planewise.files.nifti import write_nifti
from planewise.preprocessing import LoadSliced, LoadStackd, LoadVolumed


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 255], np.uint8),
        ([0, 256], np.int16),
        ([-1, 255], np.int16),
        ([0, 32768], np.float32),
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
    "codes", [(1, 0), (2, 1), (0, 1), (0, 0)], ids=lambda codes: f"sform {codes[0]}, qform {codes[1]}"
)
@pytest.mark.parametrize("pixdim", [None, 2, 0], ids=["exact", "two decimals", "whole numbers"])
def test_index_loaders_and_masks_use_one_geometry(codes, pixdim, tmp_path):
    """If pixdim is rounded, MONAI's reader takes even a qform without a code in place of the sform, here 90 mm away."""
    turn = np.array([[0.82, -0.37, 0.44, 0], [0.57, 0.53, -0.63, 0], [0, 0.77, 0.64, 0], [0, 0, 0, 1]])
    turn[:3, :3] = np.linalg.qr(turn[:3, :3])[0]
    affine = turn @ np.diag([1.3672, 1.3672, 9.6, 1])
    affine[:3, 3] = -80, 30, 20
    image = nibabel.Nifti1Image(np.random.default_rng(0).integers(0, 3, (24, 20, 6), np.uint8), affine)
    image.set_sform(affine, code=codes[0])
    image.set_qform(affine, code=codes[1])
    if codes[1] == 0:
        image.header["quatern_b"] = image.header["quatern_c"] = image.header["quatern_d"] = 0
    if pixdim is not None:
        image.header["pixdim"][1:4] = np.round(image.header["pixdim"][1:4], pixdim)
    file = tmp_path / "a.nii.gz"
    nibabel.save(image, file)
    expected = nibabel.load(file).affine
    if codes[0]:
        assert np.allclose(expected, affine, atol=1e-4)
    item = {"image": str(file), "label": str(file), "exam": "e1", "frame": 0}
    keys = ["image", "label"]
    for load in (LoadSliced(keys), LoadStackd(keys), LoadVolumed(keys)):
        loaded = load(item)
        assert all(np.allclose(loaded[key].affine, expected, atol=1e-6) for key in keys)
    assert np.allclose(read_mask(file)[1], expected)
    (exam,) = exams_of_volumes([Volume(file, None, "a", key="a")])
    slices = np.array([entry.affine for entry in exam.stacks[0].slices])
    assert np.allclose(
        sorted(slices[:, 2, 3]), sorted((expected @ [0, 0, depth, 1])[2] for depth in range(6)), atol=1e-6
    )
