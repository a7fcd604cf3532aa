from __future__ import annotations

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from planewise.errors import InputError
from planewise.files.arrays import read_plain_slice
from planewise.geometry import plane_from_affine
from planewise.geometry.planes import angle_between_planes
from planewise.preprocessing import LoadSliced, LoadStackd
from planewise.preprocessing.load_slice import _ImageReader

from tests.exams import damage


def header_affine(file) -> np.ndarray:
    """The affine that follows from the header's attributes by the DICOM standard (PS3.3 C.7.6.2.1.1), in RAS+."""
    header = pydicom.dcmread(file, stop_before_pixels=True)
    orientation = np.array(header.ImageOrientationPatient, dtype=float)
    row_spacing, column_spacing = (float(value) for value in header.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * column_spacing
    affine[:3, 1] = orientation[3:] * row_spacing
    affine[:3, 2] = np.cross(orientation[:3], orientation[3:])
    affine[:3, 3] = header.ImagePositionPatient
    return np.diag([-1, -1, 1, 1]) @ affine


def test_dicom_pixels_and_geometry(exam):
    for view in ("sax", "2ch", "4ch"):
        file = exam[view][0]
        image = LoadSliced("image")({"image": file, "affine": header_affine(file)})["image"]
        header = pydicom.dcmread(file)
        assert image.shape == (1, header.Columns, header.Rows, 1)
        assert np.array_equal(image[0, :, :, 0].numpy(), header.pixel_array.T)
        assert torch.allclose(image.affine[:3, :2], torch.from_numpy(header_affine(file))[:3, :2], atol=1e-6)
        assert torch.allclose(image.affine[:3, 3], torch.from_numpy(header_affine(file))[:3, 3], atol=1e-4)


@pytest.mark.parametrize(
    ("tags", "plain"),
    [
        ({}, True),
        ({"SpacingBetweenSlices": 9.5, "ImageOrientationPatient": [0.6, 0.79999, 0, 0, 0, -1.00001]}, True),
        ({"PixelRepresentation": 1}, True),
        ({"RescaleSlope": 2, "RescaleIntercept": -7}, False),
        ({"BitsStored": 6, "HighBit": 5}, False),
        ({"ImageOrientationPatient": [1, 0, 0, 0.1, 1, 0]}, False),
        ({"PixelSpacing": None}, False),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, False),
    ],
)
def test_plain_slices_are_read_as_itk_reads_them(phantom_exam, tmp_path, tags, plain):
    data, file = pydicom.dcmread(phantom_exam["sax"][0]), tmp_path / "1.dcm"
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(file)
    read = read_plain_slice(file)
    assert (read is not None) == plain
    if plain:
        array, meta = _ImageReader().get_data(_ImageReader().read(file))
        assert read[0].dtype == array.dtype and np.array_equal(read[0], array)
        np.testing.assert_allclose(read[1], meta["affine"], rtol=0, atol=1e-12)


def test_a_datalist_that_disagrees_is_refused(phantom_exam):
    affine = header_affine(phantom_exam["sax"][0])
    affine[1, 3] += 0.5
    with pytest.raises(InputError):
        LoadSliced("image")({"image": phantom_exam["sax"][0], "affine": affine, "exam": "7f3a"})


def test_slices_of_a_mask_are_those_of_the_numbers_that_the_index_gives(tmp_path):
    """A mask has a single spacing, so in a stack with a gap, its slices lie elsewhere than the images'."""
    nibabel.save(
        nibabel.Nifti1Image(np.ones((4, 5, 3), np.uint8), np.diag([1.5, 1.5, 8.0, 1.0])), tmp_path / "m.nii.gz"
    )
    listed = np.diag([1.5, 1.5, 8.0, 1.0])
    listed[2, 3] = 24.0
    item = {"label": tmp_path / "m.nii.gz", "frame": 2, "affine": listed, "exam": "7f3a"}
    with pytest.raises(InputError):
        LoadSliced("label")(item)
    assert np.array_equal(LoadSliced("label")(item | {"label_frame": 2})["label"].affine, listed)


def test_slices_of_a_nifti_volume(tmp_path):
    volume = np.random.default_rng(0).normal(size=(7, 6, 4)).astype(np.float32)
    affine = np.array([[-1.5, 0.1, 0.4, 10], [0, 1.4, -0.3, 20], [0.1, 0.2, 9, -30], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "v.nii.gz")
    for k in range(4):
        image = LoadSliced("image")({"image": tmp_path / "v.nii.gz", "frame": k})["image"]
        assert np.allclose(image[0, :, :, 0], volume[:, :, k])
        corner = image.affine.numpy() @ [2, 3, 0, 1]
        assert np.allclose(corner, affine @ [2, 3, k, 1], atol=1e-5)


def test_label_has_its_own_frame_and_values(tmp_path):
    label = np.stack([np.full((3, 3), value) for value in (1, 2, 3)], axis=-1).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(label, np.eye(4)), tmp_path / "l.nii.gz")
    item = {"label": tmp_path / "l.nii.gz", "frame": 0, "label_frame": 2, "label_map": {"3": 1, "1": 3}}
    assert LoadSliced("label")(item)["label"].unique().tolist() == [1]
    # without a decision of the user, a value could become a structure of the wrong kind, or background
    with pytest.raises(InputError):
        LoadSliced("label")({**item, "label_frame": 1})
    item["label_map"]["2"] = 0
    assert LoadSliced("label")({**item, "label_frame": 1})["label"].unique().tolist() == [0]
    nibabel.save(nibabel.Nifti1Image(label / 4, np.eye(4)), tmp_path / "l.nii.gz")  # a label map has whole numbers only
    with pytest.raises(InputError):
        LoadSliced("label")(item)


def test_planes_of_the_real_exam_are_as_a_person_sees_them(real_exam):
    """The long axes are nearly perpendicular to the short axis; 2ch, 3ch and 4ch lie about 60 degrees apart."""

    def normal(view):
        return plane_from_affine(LoadSliced("image")({"image": real_exam[view][0]})["image"].affine)[1]

    for view in ("2ch", "3ch", "4ch"):
        assert torch.rad2deg(angle_between_planes(normal(view), normal("sax"))) > 80
    for one, other in (("2ch", "3ch"), ("3ch", "4ch"), ("4ch", "2ch")):
        assert 50 < torch.rad2deg(angle_between_planes(normal(one), normal(other))) < 70


def test_a_mirrored_mask_is_turned_to_the_image(tmp_path):
    """A mask drawn on a converted image: the same voxels, with one axis stored in reverse."""
    image = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    affine = np.array([[1.5, 0, 0, 3], [0, 1.2, 0, 4], [0, 0, 8, 5], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(image, affine), tmp_path / "image.nii.gz")
    mirrored = affine.copy()
    mirrored[:3, 1], mirrored[:3, 3] = -affine[:3, 1], affine[:3, 3] + 2 * affine[:3, 1]
    nibabel.save(nibabel.Nifti1Image(image[:, ::-1].astype(np.uint8), mirrored), tmp_path / "mask.nii.gz")
    item = {
        "image": tmp_path / "image.nii.gz",
        "label": tmp_path / "mask.nii.gz",
        "frame": 1,
        "label_axes": [[0, 1], [1, -1]],
    }
    loaded = LoadSliced(("image", "label"))(item)
    assert torch.equal(loaded["label"], loaded["image"])
    assert torch.allclose(loaded["label"].affine, loaded["image"].affine)


def test_frames_of_a_multi_frame_file_that_itk_does_not_open(tmp_path):
    from planewise.exams import index_folder
    from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams

    population = UNLABELLED.at_size("demo").with_values(phases=2, spacing=(4.0, 4.2))
    for name in ("d", "d-enhanced"):
        list(write_exams(Recipe("dsbcc", 5, population), tmp_path / name, 1))
    damage.enhanced(tmp_path / "d-enhanced")
    plain, enhanced = (
        {
            (item["slice"], item["phase"]): item
            for item in index_folder(tmp_path / name, split=(1, 0, 0)).datalist["training"]
        }
        for name in ("d", "d-enhanced")
    )
    assert plain.keys() == enhanced.keys() and len(plain) > 10
    load = LoadSliced("image")
    for key, item in plain.items():
        one, other = load(item)["image"], load(enhanced[key])["image"]
        assert torch.equal(one.as_tensor(), other.as_tensor())
        assert torch.allclose(one.affine[:3, [0, 1, 3]], other.affine[:3, [0, 1, 3]], atol=1e-3)


def test_a_cine_is_read_at_its_time_and_more_dimensions_are_refused(tmp_path):
    values = np.arange(3 * 4 * 2 * 5, dtype=np.float32).reshape(3, 4, 2, 5)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "cine.nii.gz")
    item = {"image": str(tmp_path / "cine.nii.gz"), "frame": 1, "exam": "e1"}
    for time, chosen in ((None, 0), (0, 0), (3, 3)):
        loaded = LoadSliced("image")(item if time is None else item | {"time": time})["image"]
        assert loaded.shape == (1, 3, 4, 1)
        assert np.array_equal(loaded.as_tensor()[0, ..., 0].numpy(), values[:, :, 1, chosen])
    nibabel.save(nibabel.Nifti1Image(values[..., None].repeat(2, -1), np.eye(4)), tmp_path / "five.nii.gz")
    with pytest.raises(InputError):
        LoadSliced("image")(item | {"image": str(tmp_path / "five.nii.gz")})


@pytest.mark.parametrize("key", ["image", "label"])
def test_voxels_that_are_no_finite_numbers_are_refused(tmp_path, key):
    """A single such voxel turns the weights of a whole training into NaN."""
    volume = np.zeros((7, 6, 2), dtype=np.float32)
    volume[3, 2, 1] = np.nan
    path = tmp_path / "Doe_Jane.nii.gz"
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)
    item = {key: str(path), "exam": "7f3a"}
    LoadSliced(key)({**item, "frame": 0})
    for load in (LoadSliced(key), LoadStackd(key)):
        with pytest.raises(InputError) as refused:
            load({**item, "frame": 1})
        assert "Doe" not in str(refused.value)
