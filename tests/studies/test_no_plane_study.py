"""Test that the study of stacks that are not short-axis writes those stacks and uses the bundle as it ships."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from planewise.phantoms import UNLABELLED, ImagePose, Recipe
from planewise.phantoms.files import NiftiFile

from tools.studies.no_plane import CUTS, chest, cuts_of, planned, written


def obliquity(affine: np.ndarray) -> float:
    """Degrees between the slices and the nearest body plane, computed the slow way."""
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    return float(np.degrees(np.arccos(np.abs(normal / np.linalg.norm(normal)).max())))


def test_a_volume_is_cut_along_each_of_its_axes(tmp_path):
    """Every pixel keeps its position; its value names its original voxel."""
    shape, affine = (30, 6, 63), np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = 5, 6, 7
    voxels = np.moveaxis(np.indices(shape), 0, -1)
    nibabel.save(nibabel.Nifti1Image((voxels @ [10_000, 100, 1]).astype(np.int32), affine), tmp_path / "spine.nii.gz")
    cuts = [file for _, file in cuts_of(tmp_path / "spine.nii.gz")]
    assert [file.name for file in cuts] == ["spine_0.nii.gz", "spine_1.nii.gz", "spine_2.nii.gz"]
    # ten slices cover two thirds of the axis, or all six slices are taken; the middle slice stays in the middle
    assert [file.volume.shape for file in cuts] == [(6, 63, 10), (30, 63, 6), (30, 6, 10)]
    for file, first, step, axis in zip(cuts, (6, 0, 13), (2, 1, 4), (0, 1, 2), strict=True):
        for place in ((0, 0, 0), (3, 5, 4)):
            voxel = file.volume[place]
            was = np.array([voxel // 10_000, voxel // 100 % 100, voxel % 100])
            assert was[axis] == first + step * place[2]
            assert np.allclose((file.affine @ [*place, 1])[:3], (affine @ [*was, 1])[:3])
        assert obliquity(file.affine) == 0


@pytest.mark.parametrize(("cut", "axis"), [("sagittal", 0), ("coronal", 1), ("axial", 2)])
def test_chests_are_cut_along_the_body_through_the_heart(cut, axis):
    population = UNLABELLED.at_size("demo").with_values(phases=1, spacing=(8.0, 8.0), breath=0.0)
    exam = Recipe("dsbcc", 3, population).exam(1)
    file = chest(exam, ImagePose(exam.heart.centre, *CUTS[cut]), "chest.nii.gz")
    assert file.volume.shape == (*exam.scanner.matrix, 10) and obliquity(file.affine) == 0
    normal = np.cross(file.affine[:3, 0], file.affine[:3, 1])
    assert np.abs(normal).argmax() == axis
    middle = (np.array(file.volume.shape) - 1) / 2
    assert np.allclose((file.affine @ [*middle, 1])[:3], exam.heart.centre)
    assert np.linalg.norm(file.affine[:3, 2]) == pytest.approx(10)


def test_the_bundle_is_asked_without_its_limit(tmp_path):
    """A volume of zeros has no plane, and keeps the position in its header."""
    affine = np.array([[0, 0, 8, 0], [-2, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1.0]])
    NiftiFile("none.nii.gz", np.zeros((64, 64, 4), np.int16), affine).write(tmp_path)
    (found,) = planned(tmp_path, {"none": "nothing"})
    assert found == ("nothing", 0.0, pytest.approx(54.74, abs=0.01), True)


def test_stacks_are_written_once_for_the_same_settings(tmp_path, monkeypatch):
    """The study may use only real volumes, without any phantom."""
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), tmp_path / "knee.nii")
    kinds = written(tmp_path / "out", 0, [tmp_path / "knee.nii"], seed=1)
    assert kinds == {f"knee_{axis}": "real volumes that were named" for axis in range(3)}
    assert all((tmp_path / "out" / f"{name}.nii.gz").is_file() for name in kinds)
    monkeypatch.setattr("tools.studies.no_plane.stacks", lambda *asked: iter(()))
    assert written(tmp_path / "out", 0, [tmp_path / "knee.nii"], seed=1) == kinds
    assert written(tmp_path / "out", 0, [tmp_path / "knee.nii"], seed=2) == {}
