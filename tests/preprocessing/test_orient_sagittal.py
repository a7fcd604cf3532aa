"""Test that sagittal images get one orientation, however their file stores them."""

import itertools
import warnings

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd
from nibabel.orientations import apply_orientation, inv_ornt_aff
from planewise.errors import InputError
from planewise.preprocessing import LoadSliced, LoadStackd, OrientSagittald

from tests.exams.hearts import rotation

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
