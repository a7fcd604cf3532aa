"""Test NIfTI volumes as stacks: the description of a slice agrees with what the loader reads."""

import nibabel
import numpy as np
import pytest
from planewise.exams.datalist import slice_items
from planewise.exams.volume_stacks import exams_of_volumes
from planewise.exams.volumes import read_volumes
from planewise.preprocessing import LoadSliced

from tests.exams.hearts import rotation


def write(path, array, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def exams_in(folder):
    return exams_of_volumes(read_volumes(sorted(folder.rglob("*.nii*")), folder).volumes)


@pytest.mark.parametrize("flip", [1, -1])
def test_slices_lie_where_the_file_has_them(tmp_path, flip):
    """An oblique volume whose third axis runs along the slices' normal or against it: each item loads its own pixels."""
    affine = np.eye(4)
    affine[:3, :3] = rotation(np.array([0.3, 0.5, 0.81]) / np.linalg.norm([0.3, 0.5, 0.81]), 25.0) @ np.diag(
        [1.5, 1.2, 6.0 * flip]
    )
    affine[:3, 3] = (10, -20, 30)
    array = np.arange(5 * 4 * 6, dtype=np.int16).reshape(5, 4, 6)
    write(tmp_path / "a.nii.gz", array, affine)
    (exam,) = exams_in(tmp_path)
    (stack,) = exam.stacks
    assert (stack.columns, stack.rows, len(stack.slices)) == (5, 4, 6)
    assert stack.in_plane == pytest.approx((1.5, 1.2)) and stack.thickness == pytest.approx(6)
    assert stack.gaps == pytest.approx([6.0] * 5)
    axis = affine[:3, 2] / 6  # the order in the file
    for item in slice_items(stack.in_order(axis), True):
        image = LoadSliced("image")(item)["image"]
        assert item["frame"] == item["slice"]
        assert item["location"] == pytest.approx(item["slice"] / 5)
        assert np.array_equal(image[0, :, :, 0].numpy(), array[:, :, item["frame"]])
        assert "time" not in item
    backwards = slice_items(stack.in_order(-axis), True)
    assert [item["frame"] for item in backwards] == [5, 4, 3, 2, 1, 0]


def test_the_times_of_a_cine_are_phases_of_its_slices(tmp_path):
    array = np.arange(3 * 4 * 5 * 12, dtype=np.int16).reshape(3, 4, 5, 12)
    write(tmp_path / "a.nii.gz", array, np.diag([1.0, 1, 8, 1]))
    ((stack,),) = (exam.stacks for exam in exams_in(tmp_path))
    assert stack.phase_counts == (12, 12)
    items = slice_items(stack, False)
    assert [item["phase"] for item in items[:12]] == pytest.approx([time / 12 for time in range(12)], abs=1e-6)
    for item in items:
        assert round(item["phase"] * 12) == item["time"]
        pixels = LoadSliced("image")(item)["image"][0, :, :, 0].numpy()
        assert np.array_equal(pixels, array[:, :, item["frame"], item["time"]])


@pytest.mark.parametrize("digits", [2, 1])
def test_frames_in_files_of_their_own_are_phases_too(digits, tmp_path):
    """The phases are in the order of the numbers in their names, whether these have leading zeros or not."""
    for number in (10, 2, 1):
        write(tmp_path / f"p1_frame{number:0{digits}d}.nii.gz", np.zeros((3, 4, 5), np.int16), np.diag([1.0, 1, 8, 1]))
    (exam,) = exams_in(tmp_path)
    assert exam.case == "p1"
    names = [frame.path.rpartition("_")[2] for frame in exam.stacks[0].slices[0].phases]
    assert names == [f"frame{number:0{digits}d}.nii.gz" for number in (1, 2, 10)]


def test_volumes_of_one_case_on_other_grids_are_other_stacks(tmp_path):
    write(tmp_path / "p1_ed.nii.gz", np.zeros((3, 4, 5), np.int16), np.diag([1.0, 1, 8, 1]))
    write(tmp_path / "p1_es.nii.gz", np.zeros((6, 4, 5), np.int16), np.diag([1.0, 1, 8, 1]))
    (exam,) = exams_in(tmp_path)
    assert sorted(stack.columns for stack in exam.stacks) == [3, 6]
