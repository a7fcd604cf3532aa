"""Test that ITK reads a `.seg.nrrd` with voxels at the right places, and the names that Slicer shows."""

import itk
import numpy as np
import pytest
from planewise.own_exams.slicer_segmentation import write_slicer_segmentation
from scipy.spatial.transform import Rotation


def test_voxels_lie_in_their_places_under_their_names(tmp_path):
    labels = np.random.default_rng(0).integers(0, 4, (7, 5, 3)).astype(np.uint8)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [30, 40, 50], degrees=True).as_matrix() * (1.5, 2.0, 8.0)
    affine[:3, 3] = 10, -20, 30
    file = tmp_path / "heart.seg.nrrd"
    write_slicer_segmentation(file, labels, affine, {1: "RV", 2: "myocardium", 3: "LV"})
    assert [path.name for path in tmp_path.iterdir()] == ["heart.seg.nrrd"]
    image = itk.imread(str(file))
    assert np.array_equal(itk.array_from_image(image).transpose(2, 1, 0), labels)
    for index in ((0, 0, 0), (6, 1, 2), (3, 4, 1)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        assert np.allclose(lps * (-1, -1, 1), affine[:3, :3] @ index + affine[:3, 3], atol=1e-4)
    known = dict(image)
    assert [known[f"Segment{number}_Name"] for number in range(3)] == ["RV", "myocardium", "LV"]
    assert [known[f"Segment{number}_LabelValue"] for number in range(3)] == ["1", "2", "3"]
    # Slicer finds each segment by its identifier, in the only layer, which covers all voxels
    assert [known[f"Segment{number}_ID"] for number in range(3)] == ["Segment_1", "Segment_2", "Segment_3"]
    assert {(known[f"Segment{number}_Layer"], known[f"Segment{number}_Extent"]) for number in range(3)} == {
        ("0", "0 6 0 4 0 2")
    }
    assert [float(part) for part in known["Segment0_Color"].split()] == pytest.approx([0.839, 0.153, 0.157])


def test_a_file_that_slicer_saved_is_kept(tmp_path):
    labels, affine, names = np.ones((4, 5, 3), "u1"), np.eye(4), {1: "RV"}
    file = tmp_path / "heart.seg.nrrd"
    for value in (1, 2):
        write_slicer_segmentation(file, value * labels, affine, names)
    assert [path.name for path in tmp_path.iterdir()] == ["heart.seg.nrrd"]
    # a program that keeps the header, and one that crops the voxels and drops all keys that it does not know
    edited = itk.imread(str(file))
    itk.array_view_from_image(edited)[0, 0, 0] = 3
    itk.imwrite(edited, str(file))
    first = file.read_bytes()
    write_slicer_segmentation(file, labels, affine, names)
    itk.imwrite(itk.image_from_array(labels[1:, 2:]), str(file))
    second = file.read_bytes()
    write_slicer_segmentation(file, labels, affine, names)
    assert (tmp_path / "heart_corrected.seg.nrrd").read_bytes() == first
    assert (tmp_path / "heart_corrected_2.seg.nrrd").read_bytes() == second
    assert np.array_equal(itk.array_from_image(itk.imread(str(file))), labels.transpose(2, 1, 0))
