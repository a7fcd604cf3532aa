"""Test that cases of one or several channels are read unchanged, and that unsuitable files are refused with a message."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from planewise.errors import InputError
from planewise.exams import LoadCased, find_stacks
from planewise.files.datalists import PREDICTED, VIEWER
from planewise.preprocessing import LoadVolumed

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


def test_one_file_is_one_channel(case):
    item, arrays = case()
    loaded = LoadVolumed("image")({"image": item["image"][0], "exam": "e1"})
    assert loaded["image"].shape == (1, 6, 5, 4) and np.array_equal(loaded["image"].numpy()[0], arrays["t1"])


def test_values_of_masks_are_renamed(case):
    item, arrays = case(seg=np.full((6, 5, 4), 3, dtype=np.uint8))
    mapped = LoadVolumed(("image", "label"), label_values=(0, 4))(item | {"label_map": {"3": 4}})
    assert torch.equal(torch.unique(mapped["label"].as_tensor()), torch.tensor([4.0]))


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
        with pytest.raises(
            InputError, match=f"exam .*: its values must be 0, 1, 2, 4, got {max(set(values) - {0, 4})}"
        ):
            load(item | {"label_origin": origin})
    else:
        assert load(item | {"label_origin": origin})["label"].unique().tolist() == read


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seg": np.full((6, 5, 4), 3, np.uint8)}, "its values must be 0, 1, 2, 4, got 3.*--label-map"),
        (
            {"seg": np.full((6, 5, 4), 0.5, np.float32)},
            "mask: it contains the value 0.5; the values of a mask must be whole",
        ),
        (
            {"t2": np.zeros((6, 5, 5), np.int16)},
            r"channel 2 .* \(6, 5, 5\).* \(6, 5, 4\)",
        ),
        (
            {"t2_affine": np.diag([-2.0, -2.0, 4.0, 1.0])},
            "channel 2 .* 4.0 mm",
        ),
        (
            {"t2_affine": np.diag([-2.0, -2.0, 3.05, 1.0])},
            "channel 2 .* 0.2 mm",
        ),
        (
            {"seg_affine": np.diag([2.0, -2.0, 3.0, 1.0])},
            "the mask .* 24.0 mm",
        ),
        ({"t1": np.zeros((6, 5, 4, 3), np.int16)}, "it must be a 3D volume, and each channel needs its own file"),
        ({"t2": np.full((6, 5, 4), np.nan, np.float32)}, "the volume cannot be read .*NaN or infinite"),
    ],
)
def test_what_does_not_fit(case, other, message):
    item, _ = case(**other)
    with pytest.raises(InputError, match=message):
        LoadVolumed(("image", "label"), label_values=(0, 1, 2, 4))(item)


def test_a_case_without_a_mask(case):
    item, _ = case()
    del item["label"]
    with pytest.raises(InputError, match="the case has no mask, and this bundle learns from masks"):
        LoadVolumed(("image", "label"))(item)
    assert "label" not in LoadVolumed(("image", "label"), allow_missing_keys=True)(item)


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


@pytest.mark.parametrize("named", ["", "t1.nii.gz", "t2.nii.gz"])
def test_a_folder_or_one_channel_stands_for_the_case(case, tmp_path, named):
    """MONAI Label passes one path: the file that is open in the viewer, or a folder."""
    _, arrays = case()
    for name in ("other_t1", "other_t2") if named else ():
        nibabel.save(nibabel.Nifti1Image(np.zeros((6, 5, 4), np.int16), AFFINE), tmp_path / f"{name}.nii.gz")
    load = LoadCased(("image", "label"), channels=2, channel_names=["t1", "t2"])
    loaded = load({"image": str(tmp_path / named), "label": str(tmp_path / "seg.nii.gz")})
    assert np.array_equal(loaded["image"].numpy(), np.stack([arrays["t1"], arrays["t2"]]))
    assert np.array_equal(loaded["label"].numpy()[0], arrays["seg"])


def test_what_stands_for_no_case(case, tmp_path):
    case()
    load = LoadCased("image", channels=2, channel_names=["t1", "t2"])
    for name in ("other_t1", "other_t2", "third_t1"):
        nibabel.save(nibabel.Nifti1Image(np.zeros((6, 5, 4), np.int16), AFFINE), tmp_path / f"{name}.nii.gz")
    with pytest.raises(InputError, match="the folder contains 2 cases; name a folder with one case"):
        load({"image": str(tmp_path)})
    with pytest.raises(
        InputError, match=r"no case of t1, t2 \(case without its t2 image; --channels names other endings\)"
    ):
        load({"image": str(tmp_path / "third_t1.nii.gz")})
    (tmp_path / "t1.nii.gz").rename(tmp_path / "head.nii.gz")
    with pytest.raises(InputError, match=r"no case of t1, t2 \(NIfTI file .* --in_channels 1$"):
        load({"image": str(tmp_path / "head.nii.gz")})
    # file names are not read if the number of channels differs
    with pytest.raises(
        InputError, match="the image has 1 channel, but the network takes 3; train it with --in_channels 1,"
    ):
        LoadCased("image", channels=3, channel_names=["t1", "t2"])({"image": str(tmp_path / "other_t1.nii.gz")})


@pytest.mark.parametrize("channels", [1, 3])
def test_another_number_of_channels(case, tmp_path, channels):
    item, arrays = case()
    with pytest.raises(InputError, match=f"exam e1: the image has 2 channels, but the network takes {channels};"):
        LoadVolumed("image", channels=channels)(item)
    nibabel.save(nibabel.Nifti1Image(np.stack([arrays["t1"]] * 2, axis=-1), AFFINE), tmp_path / "both.nii.gz")
    with pytest.raises(InputError, match="it must be a 3D volume"):
        LoadVolumed("image", channels=channels)({"image": str(tmp_path / "both.nii.gz"), "exam": "e1"})


@pytest.mark.parametrize(
    ("names", "result"),
    [
        (("t1", "t2"), "pat 0"),
        (("flair", "t2"), "pat 0"),
        (("BraTS-GLI-00001-000-t1n", "BraTS-GLI-00001-000-t2f"), "BraTS-GLI-00001-000"),
        (("p_1_t1", "p_1_t1ce"), "p_1"),
    ],
)
def test_results_of_own_channels_have_the_name_of_the_case(names, result, case, tmp_path):
    item, _ = case()
    (tmp_path / "pat 0").mkdir()
    files = [
        str(Path(file).rename(tmp_path / "pat 0" / f"{name}.nii.gz"))
        for file, name in zip(item["image"], names, strict=True)
    ]
    assert LoadVolumed("image")({"image": files})["image"].meta["filename_or_obj"] == f"{result}.nii.gz"
    assert LoadVolumed("image")(item | {"image": files})["image"].meta["filename_or_obj"] == "e1.nii.gz"


def test_a_cine_is_read_at_its_time(tmp_path):
    values = np.arange(3 * 4 * 2 * 5, dtype=np.int16).reshape(3, 4, 2, 5)
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), tmp_path / "cine.nii.gz")
    loaded = LoadVolumed("image")({"image": str(tmp_path / "cine.nii.gz"), "exam": "e1", "time": 3})["image"]
    assert np.array_equal(loaded[0].numpy(), values[..., 3])


def test_a_folder_of_a_dicom_series_is_a_volume(phantom_exam):
    """The slices are in the order of `planewise index --anatomy volume`."""
    folder = phantom_exam["sax"][0].parent.parent
    item = find_stacks(folder, "volume")[0]
    wanted = LoadVolumed("image", channels=1)({"image": [item.slices], "exam": item.exam})["image"]
    loaded = LoadCased("image", channels=1)({"image": str(folder)})["image"]
    assert loaded.shape[0] == 1 and loaded.shape[3] == len(item.slices) > 3
    assert torch.equal(loaded.as_tensor(), wanted.as_tensor()) and torch.equal(loaded.affine, wanted.affine)
