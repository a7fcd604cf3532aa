"""Test loading a whole stack at one time of a cine."""

import nibabel
import numpy as np
import pytest
import torch
from planewise.errors import InputError
from planewise.findings import finding
from planewise.preprocessing.load_slice import LoadSliced
from planewise.preprocessing.load_stack import LoadStackd, missing_slices, own_thickness, spacing_findings


def test_a_mask_saved_as_floats_has_whole_labels_and_may_keep_an_axis_of_time(tmp_path):
    labels = np.arange(24).reshape(2, 3, 4, 1) % 4
    nibabel.save(nibabel.Nifti1Image(labels * 0.99999, np.eye(4)), tmp_path / "label.nii.gz")
    item = {"image": str(tmp_path / "label.nii.gz"), "time": 5, "frame": 1, "exam": "7f3a"}
    volume = LoadStackd("image", label_keys="image")(item)["image"]
    assert np.array_equal(volume.numpy(), labels[..., 0])
    assert np.array_equal(LoadSliced("image", label_keys="image")(item)["image"][0].numpy(), labels[:, :, [1], 0])


def test_values_of_a_mask_are_renamed_and_those_of_an_image_are_not(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 4
    for name in ("image", "label"):
        nibabel.save(nibabel.Nifti1Image(array, np.diag([2.0, 2, 8, 1])), tmp_path / f"{name}.nii.gz")
    item = {name: str(tmp_path / f"{name}.nii.gz") for name in ("image", "label")} | {"exam": "7f3a"}
    with pytest.raises(InputError):
        LoadStackd(("image", "label"))(item | {"label_map": {"1": 3, "3": 1}})
    loaded = LoadStackd(("image", "label"))(item | {"label_map": {"1": 3, "2": 0, "3": 1}})
    np.testing.assert_array_equal(loaded["image"].numpy(), array)
    np.testing.assert_array_equal(loaded["label"].numpy(), np.array([0, 3, 0, 1])[array])
    assert np.allclose(loaded["label"].affine.numpy(), loaded["image"].affine.numpy())
    assert loaded["label"].meta["filename_or_obj"] == "7f3a.nii.gz"


def test_slices_of_files_make_a_volume_of_their_mean_spacing(tmp_path):
    """The volume is evenly spaced, and ``slice_affines`` keeps each slice's own position."""
    positions, slices = [0.0, 8.0, 18.0, 24.0], []
    for number, position in enumerate(positions):
        affine = np.diag([1.5, 1.25, 1.0, 1.0])
        affine[2, 3] = position
        path = tmp_path / f"{number}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.full((3, 4, 1), number, np.int16), affine), path)
        slices.append({"image": str(path)})
    item = LoadStackd("image")({"image": slices, "exam": "7f3a"})
    assert np.array_equal(item["image"][1, 2].numpy(), [0, 1, 2, 3])
    assert np.allclose(item["image"].affine.numpy(), np.diag([1.5, 1.25, 8.0, 1.0]))
    assert item["slice_affines"][:, 2, 3].tolist() == positions
    LoadStackd("image", remarks=False)({"image": slices, "exam": "7f3a"})
    del slices[1]
    LoadStackd("image")({"image": [*slices, *slices[-1:]], "exam": "7f3a"})


@pytest.mark.parametrize(
    ("positions", "where"),
    [
        ([0, 10, 20, 40, 50], (["3 and 4"], [20])),
        ([50, 40, 20, 10, 0], (["2 and 3"], [20])),
        ([0, 10, 30, 40, 50, 80], (["2 and 3", "5 and 6"], [20, 30])),
        ([0, 10, 25, 35, 45], None),
        ([0, 10, 30], None),
    ],
)
def test_a_gap_along_the_normal_lacks_slices(positions, where):
    affines = torch.eye(4, dtype=torch.float64).repeat(len(positions), 1, 1)
    affines[:, 2, 3] = torch.tensor(positions, dtype=torch.float64)
    affines[1, 0, 3] += 15  # displaced within its plane
    turn = torch.linalg.matrix_exp(torch.tensor([[0.0, 0.4, -0.2], [-0.4, 0.0, 0.3], [0.2, -0.3, 0.0]]).double())
    affines[:, :3] = turn @ affines[:, :3]
    affines[:, :3, :2] *= 1.5  # mm per pixel
    values = where and {"between": where[0], "count": len(positions), "mm": where[1], "usual": 10}
    assert missing_slices(affines) == ([finding("slices-missing", **values)] if where else [])


def oblique(places):
    """The affines of a stack with slices at these places along its normal, mm."""
    affines = torch.eye(4, dtype=torch.float64).repeat(len(places), 1, 1)
    affines[:, :3, :3] = torch.tensor([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    affines[:, :3, 3] = torch.tensor(places, dtype=torch.float64)[:, None] * affines[0, :3, 2]
    return affines


@pytest.mark.parametrize(
    ("places", "thickness", "apart"),
    [
        ([0, 5, 10, 20, 30], [5, 5, 7.5, 10, 10], (5.0, 10.0)),
        ([40, 25, 10, 0], [15, 15, 12.5, 10], (10.0, 15.0)),
        ([0, 10, 20, 50], [10, 10, 20, 20], (10.0, 30.0)),  # two slices are missing, on the inner side of the last one
        ([0, 30, 40, 50], [20, 20, 10, 10], (10.0, 30.0)),
        ([0, 10, 15, 20, 30, 40], [10, 7.5, 5, 7.5, 10, 10], (5.0, 10.0)),  # one was acquired again
        ([0, 10, 21.5], [10, 10.75, 11.5], None),  # 0.75 mm from even spacing
        ([0, 10, 22.5], [10, 11.25, 11.25], (10.0, 12.5)),
        ([0, 10, 20, 30], None, None),
        ([0, 30], None, None),
        ([0], None, None),
    ],
)
def test_the_thickness_of_a_slice_is_half_the_distances_to_its_neighbours(places, thickness, apart):
    affines = oblique(places)
    affines[len(places) // 2, :3, 3] += 3 * affines[0, :3, 1]  # displaced in its plane, which changes no distance
    found = own_thickness(affines)
    uneven = [
        (each["low"], each["high"]) for each in spacing_findings(affines) if dict(each.values).get("kind") == "uneven"
    ]
    assert uneven == ([apart] if apart else []) and (found is None) == (not apart)
    if apart:
        assert found == pytest.approx(thickness)
