"""Test whole volumes and photographs."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from planewise.errors import InputError
from planewise.files.datalists import PREDICTED, VIEWER
from planewise.preprocessing import LoadPhotographd, LoadVolumed
from planewise.preprocessing.exam_name import loaded_name

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


@pytest.fixture
def case(tmp_path):
    """Function that writes a case of two channels and a mask, and returns its item; arguments replace parts of the case."""

    def write(**other):
        rng = np.random.default_rng(0)
        arrays = {name: rng.integers(0, 900, (6, 5, 4)).astype(np.int16) for name in ("t1", "t2")}
        arrays["seg"] = rng.choice([0, 1, 2, 4], (6, 5, 4)).astype(np.uint8)
        arrays |= {name: array for name, array in other.items() if name in arrays}
        for name, array in arrays.items():
            affine = other.get(f"{name}_affine", AFFINE)
            nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / f"{name}.nii.gz")
        files = {name: str(tmp_path / f"{name}.nii.gz") for name in arrays}
        return {"image": [files["t1"], files["t2"]], "label": files["seg"], "exam": "e1"}, arrays

    return write


def test_channels_and_mask_as_in_the_files(case):
    item, arrays = case()
    loaded = LoadVolumed(("image", "label"), label_values=(0, 1, 2, 4))(item)
    assert loaded["image"].shape == (2, 6, 5, 4) and loaded["label"].shape == (1, 6, 5, 4)
    assert np.array_equal(loaded["image"].numpy(), np.stack([arrays["t1"], arrays["t2"]]))
    assert np.array_equal(loaded["label"].numpy()[0], arrays["seg"])
    assert np.allclose(loaded["image"].affine, AFFINE)


def test_a_mask_has_exactly_the_affine_of_its_image(case):
    """Halfway between two orientations, a difference in the last digit would reorient them differently."""
    item, _ = case(seg_affine=AFFINE + 1e-4)
    loaded = LoadVolumed(("image", "label"), label_values=(0, 1, 2, 4))(item)
    assert torch.equal(loaded["label"].affine, loaded["image"].affine)


@pytest.mark.parametrize(
    ("origin", "values", "read"),
    [
        (VIEWER, [0, 3], [0, 4]),
        (VIEWER, [0, 2, 4], [0, 2, 4]),
        (VIEWER, [3, 4], None),
        (VIEWER, [0, 5], None),
        (PREDICTED, [0, 3], None),
    ],
)
def test_a_viewer_may_write_the_numbers_of_channels(origin, values, read, case):
    """MONAI Label lists the network's four channels, which stand for the label values 0, 1, 2 and 4."""
    item, _ = case(seg=np.array(values, np.uint8)[np.arange(120) % len(values)].reshape(6, 5, 4))
    load = LoadVolumed(("image", "label"), label_values=(0, 1, 2, 4))
    if read is None:
        with pytest.raises(InputError):
            load(item | {"label_origin": origin})
    else:
        assert load(item | {"label_origin": origin})["label"].unique().tolist() == read


@pytest.mark.parametrize(
    "other",
    [
        {"seg": np.full((6, 5, 4), 3, np.uint8)},
        {"seg": np.full((6, 5, 4), 0.5, np.float32)},
        {"t2": np.zeros((6, 5, 5), np.int16)},
        {"t2_affine": np.diag([-2.0, -2.0, 3.05, 1.0])},
        {"seg_affine": np.diag([2.0, -2.0, 3.0, 1.0])},
        {"t1": np.zeros((6, 5, 4, 3), np.int16)},
        {"t2": np.full((6, 5, 4), np.nan, np.float32)},
    ],
)
def test_what_does_not_fit_is_refused(case, other):
    item, _ = case(**other)
    with pytest.raises(InputError):
        LoadVolumed(("image", "label"), label_values=(0, 1, 2, 4))(item)


def test_a_file_of_four_dimensions_may_hold_the_channels(case, tmp_path):
    """The decathlon has such files, and MONAI Label passes such images."""
    _, arrays = case()
    both = np.stack([arrays["t1"], arrays["t2"]], axis=-1)
    nibabel.save(nibabel.Nifti1Image(both, AFFINE), tmp_path / "both.nii.gz")
    load = LoadVolumed("image", channels=2)
    load._loader.image_only = False  # as MONAI Label sets it
    loaded = load({"image": str(tmp_path / "both.nii.gz")})
    assert np.array_equal(loaded["image"].numpy(), both.transpose(3, 0, 1, 2))
    assert loaded["image"].meta["filename_or_obj"] == "both.nii.gz"
    assert tuple(loaded["image"].meta["spatial_shape"]) == (6, 5, 4)
    assert np.allclose(loaded["image_meta_dict"]["affine"], AFFINE)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)


def load(path, **item):
    return LoadPhotographd("image")({"image": str(path), **item})["image"]


def test_colours_and_axes(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "Doe_Jane.png")
    image = load(tmp_path / "Doe_Jane.png", exam="abc")
    assert image.shape == (3, 80, 48) and image.dtype == torch.float32
    # (row, column, colour) to (colour, column, row)
    assert torch.equal(image.as_tensor(), torch.from_numpy(pixels).permute(2, 1, 0) / 255)
    assert loaded_name(image) == "abc" and "Doe" not in str(image.meta)
    assert loaded_name(load(tmp_path / "Doe_Jane.png")) == "Doe_Jane", "without an exam, the result has the file's name"


def test_a_camera_that_was_held_sideways(pixels, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is on the right
    exif[0x010E] = "Doe Jane"
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    image = load(tmp_path / "turned.png")
    wanted = np.rot90(pixels, -1)
    assert torch.equal(image.as_tensor(), torch.from_numpy(wanted.copy()).permute(2, 1, 0) / 255)
    assert "Doe" not in str(image.meta)


@pytest.mark.parametrize("name", ["text", "cut", "grey", "absent"])
def test_what_is_no_photograph(pixels, tmp_path, name):
    path = tmp_path / "a.png"
    Image.fromarray(pixels if name != "grey" else pixels[..., 0]).save(path)
    content = {"text": b"hello", "cut": path.read_bytes()[:2000]}.get(name)
    if content:
        path.write_bytes(content)
    if name == "absent":
        path.unlink()
    with pytest.raises(InputError):
        load(path)
