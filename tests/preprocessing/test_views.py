"""Test stacks of other views, and how sagittal images are turned."""

from __future__ import annotations

import itertools
import warnings

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, EnsureChannelFirstd
from nibabel.orientations import apply_orientation, inv_ornt_aff
from planewise.errors import InputError, is_input_error
from planewise.geometry.tolerances import SHORT_AXIS_OBLIQUITY
from planewise.own_exams.bundles import bundles_folder
from planewise.own_exams.heart_stacks import stacks_in
from planewise.preprocessing import LoadSliced, LoadStackd, OrientSagittald
from scipy.spatial.transform import Rotation

from tests.exams.conftest import write_usual_exam
from tests.exams.files import write_ct
from tests.exams.hearts import rotation


def transforms(of: str, **settings):
    name = {"sax": "downstream_cardiac_sax_segmentation", "4ch": "downstream_cardiac_lax_segmentation"}[of]
    parser = ConfigParser()
    parser.read_config(bundles_folder() / name / "configs/inference.yaml")
    assert parser["min_obliquity"] == SHORT_AXIS_OBLIQUITY
    parser.update({"device": "cpu", "bundle_root": ".", **settings})
    return parser.get_parsed_content("preprocessing")


@pytest.mark.parametrize(
    ("turn", "refused"),
    [
        pytest.param([40, 40], False, id="short axis"),
        pytest.param([0, 0], False, id="axial, or without an orientation"),
        pytest.param([7, 7], True, id="oblique axial"),
        pytest.param([40, -40], True, id="across the long axis of hearts"),
    ],
)
def test_a_volume_that_segment_refuses_is_refused_by_the_bundle(turn, refused, tmp_path):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xy", turn, degrees=True).as_matrix() * (-2, -2, 8)
    voxels = np.arange(4 * 4 * 4, dtype=np.int16).reshape(4, 4, 4)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), file := tmp_path / "Doe.nii.gz")
    if refused:
        with pytest.raises(InputError):
            stacks_in(file, straight=True)
        with pytest.raises(RuntimeError) as error:
            transforms("sax")({"image": str(file)})
        assert is_input_error(error.value.__cause__) and "Doe" not in str(error.value.__cause__)
    else:
        assert len(stacks_in(file, straight=True)[0]) == 1
    settings = {"min_obliquity": 0} if refused else {}
    assert transforms("sax", **settings)({"image": str(file)})["image"].shape[-1] == 4


@pytest.mark.parametrize("view", ["sax", "4ch"])
def test_dicom_that_is_not_recognised_is_refused(view, tmp_path):
    write_usual_exam(tmp_path / "heart", ("4ch",), 5, phases=1, size=(40, 36), spacing=4.0)
    assert transforms(view)({"image": str(tmp_path / "heart")})["image"].shape[-1] == (5 if view == "sax" else 1)
    write_ct(tmp_path / "chest", np.arange(40 * 36 * 5).reshape(40, 36, 5))
    with pytest.raises(RuntimeError) as error:
        transforms(view)({"image": str(tmp_path / "chest")})
    assert is_input_error(error.value.__cause__)


#: Axes to the back, to the feet and to the left, 1.5 x 1.25 x 4 mm, oblique.
AFFINE = np.eye(4)
AFFINE[:3, :3] = rotation([0.2, 0.3, 1.0], 20) @ np.array([[0, 0, 4.0], [-1.5, 0, 0], [0, -1.25, 0]])
AFFINE[:3, 3] = 10, 20, 30
IMAGE = np.arange(5 * 6 * 3, dtype=np.int16).reshape(5, 6, 3)


def stored(path, axes, oriented=True):
    """Write the image with other axes, as a program may store it."""
    axes = np.array(axes)
    affine = AFFINE @ inv_ornt_aff(axes, IMAGE.shape) if oriented else None
    nibabel.save(nibabel.Nifti1Image(apply_orientation(IMAGE, axes), affine), path)
    return {"image": str(path)}


@pytest.mark.parametrize(("swapped", "first", "second"), itertools.product([False, True], [1, -1], [1, -1]))
def test_any_stored_orientation_gives_the_same_image(tmp_path, swapped, first, second):
    item = stored(tmp_path / "a.nii.gz", [[int(swapped), first], [1 - int(swapped), second], [2, 1]])
    found = Compose([LoadStackd("image"), EnsureChannelFirstd("image"), OrientSagittald("image")])(item)["image"]
    assert np.array_equal(found[0].numpy(), IMAGE)
    assert np.allclose(found.affine.numpy(), AFFINE, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = Compose([LoadSliced("image"), OrientSagittald("image")])(item | {"frame": 1})["image"]
    assert np.array_equal(one[0, ..., 0].numpy(), IMAGE[..., 1])


def test_an_image_without_orientation_is_left_alone(tmp_path):
    nifti = stored(tmp_path / "a.nii.gz", [[1, -1], [0, 1], [2, 1]], oriented=False)
    np.save(tmp_path / "a.npy", IMAGE)
    for item in (nifti, {"image": str(tmp_path / "a.npy")}):
        loads = LoadStackd("image", field_without_spacing=160.0), LoadSliced("image", field_without_spacing=160.0)
        for load, steps in zip(loads, ([EnsureChannelFirstd("image")], []), strict=True):
            plain = Compose([load, *steps])(item | {"frame": 0})["image"]
            assert torch.equal(OrientSagittald("image")({"image": plain})["image"].as_tensor(), plain.as_tensor())


@pytest.mark.parametrize(
    ("axes", "name"),
    [
        ([[1, 1], [2, 1], [0, 1]], "superior-inferior"),
        ([[0, 1], [2, 1], [1, 1]], "superior-inferior"),
        ([[2, 1], [0, 1], [1, 1]], "anterior-posterior"),
    ],
)
def test_slices_of_another_plane_are_refused(tmp_path, axes, name):
    item = stored(tmp_path / "a.nii.gz", axes)
    load = Compose([LoadStackd("image"), EnsureChannelFirstd("image"), OrientSagittald("image")])
    with pytest.raises((InputError, RuntimeError)) as caught:
        load(item)
    assert f"exam a, image: the third axis is {name}, but the slices of a sagittal series" in str(
        caught.value.__cause__ or caught.value
    )
