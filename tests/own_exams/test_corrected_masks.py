"""Test that the masks which people corrected are found, and read on the grid of the images."""

import os

import itk
import nibabel
import numpy as np
import pytest
from planewise.errors import InputError
from planewise.own_exams.corrected_masks import changed_since, corrected_in, corrected_masks, read_labels
from planewise.own_exams.slicer_segmentation import write_slicer_segmentation
from scipy.spatial.transform import Rotation

NAMES = {1: "RV", 2: "myocardium", 3: "LV"}


@pytest.fixture
def folder(tmp_path):
    """The folder of a phase with the network's mask, which is empty, on an oblique grid."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [30, 40, 50], degrees=True).as_matrix() * (1.5, 1.5, 8.0)
    affine[:3, 3] = 10, -20, 30
    (tmp_path / "a").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 7, 5), "u1"), affine), tmp_path / "a/a_mask.nii.gz")
    return tmp_path / "a"


def some_labels():
    labels = np.zeros((8, 7, 5), np.uint8)
    labels[2:7, 1:5, 1:4] = np.random.default_rng(0).integers(0, 4, (5, 4, 3))
    return labels


def save(folder, labels, affine=None, name="a_mask_corrected.nii.gz"):
    affine = nibabel.load(folder / "a_mask.nii.gz").affine if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(labels, affine), folder / name)
    return folder / name


def read(file):
    return read_labels(file, file.with_name("a_mask.nii.gz"))


def found_in(folder):
    """File and labels of the corrected mask (None if there is none), and the findings on the others."""
    found, refused = corrected_masks(folder.parent, ["a"])
    return found.get(0), refused


def test_a_cropped_and_turned_mask_is_read_on_the_grid_of_the_images(folder):
    affine = nibabel.load(folder / "a_mask.nii.gz").affine
    turned = nibabel.Nifti1Image(some_labels(), affine).slicer[2:7, 1:5, 1:4]
    turned = turned.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    file = save(folder, np.asarray(turned.dataobj), turned.affine)
    assert np.array_equal(read(file), some_labels())
    # some programs keep an axis of time
    assert np.array_equal(read(save(folder, some_labels()[..., None])), some_labels())
    # others save floats
    assert np.array_equal(read(save(folder, some_labels() * 0.99999)), some_labels())
    # 3D Slicer crops the file, and may number the segments anew
    file = folder / "a_corrected.seg.nrrd"
    write_slicer_segmentation(file, some_labels()[2:7, 1:5, 1:4], affine @ shifted(2, 1, 1), NAMES)
    assert np.array_equal(read(file), some_labels())
    numbers = np.array([0, 3, 1, 2], np.uint8)
    write_slicer_segmentation(file, numbers[some_labels()], affine, {numbers[value]: NAMES[value] for value in NAMES})
    assert np.array_equal(read(file), some_labels())


def shifted(*voxels):
    affine = np.eye(4)
    affine[:3, 3] = voxels
    return affine


def test_what_does_not_fit_the_images_is_not_measured(folder):
    affine = nibabel.load(folder / "a_mask.nii.gz").affine
    labels, slicer = some_labels(), folder / "a_corrected.seg.nrrd"
    for wrong, place in (
        (labels + 1, affine),
        (labels / 2, affine),
        (np.where(labels, labels, np.nan), affine),
        (labels - 1.0, affine),
        (labels, affine @ np.diag([0.5, 1, 1, 1])),
        (labels, affine @ shifted(0.5, 0, 0)),
        (labels, affine @ shifted(0, 0, 3)),
        (labels[..., None].repeat(2, -1), affine),
    ):
        with pytest.raises(InputError):
            read(save(folder, wrong, place))
    for names in ({1: "RV", 2: "wall", 3: "LV"}, {1: "RV"}):
        write_slicer_segmentation(slicer, labels, affine, names)
        with pytest.raises(InputError):
            read(slicer)
    itk.imwrite(itk.image_from_array(np.zeros((2, 5, 7, 8), np.uint8)), str(slicer))
    (folder / "a_mask_corrected.nii.gz").write_text("nothing")
    for file in (slicer, folder / "a_mask_corrected.nii.gz"):
        with pytest.raises(InputError):
            read(file)


def test_a_mask_without_a_structure_is_not_measured_as_one_of_0_ml(folder):
    save(folder, some_labels(), name="a_mask.nii.gz")
    with pytest.raises(InputError):
        read(save(folder, (some_labels() == 1).astype("u1")))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("a_mask_corrected.nii.gz", lambda image: image.slicer[2:7, 1:5, 1:4]),
        ("a_mask_corrected.nii.gz", lambda image: image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))),
        ("a_mask_corrected.nii", lambda image: image),
    ],
)
def test_a_mask_that_index_could_not_use_gets_a_copy_on_the_grid_of_the_images(folder, name, change):
    grid = nibabel.load(folder / "a_mask.nii.gz")
    nibabel.save(change(nibabel.Nifti1Image(some_labels(), grid.affine)), folder / name)
    for _ in range(2):
        found, refused = found_in(folder)
        assert refused == [] and np.array_equal(found.labels, some_labels())
        copy = nibabel.load(found.nifti)
        assert np.array_equal(copy.dataobj, some_labels()) and np.allclose(copy.affine, grid.affine, atol=1e-4)
    assert len([*folder.glob("a_mask*")]) == 3 - name.endswith(".nii")


def test_the_newest_mask_is_measured(folder):
    assert found_in(folder) == (None, [])
    files = [save(folder, some_labels(), name=f"a_mask_corrected{number}.nii.gz") for number in ("", "_2")]
    for age, file in enumerate((files[1], files[0])):
        os.utime(file, (age, age))
    found, refused = found_in(folder)
    assert found.file == found.nifti == files[0] and not refused and np.array_equal(found.labels, some_labels())
    (folder / "a_corrected.seg.nrrd").write_text("nothing")
    found, refused = found_in(folder)
    assert found is None and len(refused) == 1, "an older correction is not measured in its place"
    assert corrected_in([folder]) == ["a_corrected.seg.nrrd", *(file.name for file in files)]


def test_a_mask_of_3d_slicer_becomes_a_label_for_an_index_once(folder):
    file, copy = folder / "a_corrected.seg.nrrd", folder / "a_mask_corrected.nii.gz"
    write_slicer_segmentation(file, some_labels(), nibabel.load(folder / "a_mask.nii.gz").affine, NAMES)
    for _ in range(2):
        found, refused = found_in(folder)
        assert (found.file, found.nifti, refused) == (file, copy, []) and np.array_equal(found.labels, some_labels())
    assert len(corrected_in([folder])) == 2
    write_slicer_segmentation(file, some_labels()[::-1].copy(), nibabel.load(copy).affine, NAMES)
    found, _ = found_in(folder)
    assert np.array_equal(found.labels, some_labels()[::-1]) and found.nifti.name == "a_mask_corrected_2.nii.gz"


def test_a_mask_that_is_saved_after_a_record_is_noticed(folder):
    record = folder / "done.json"
    record.touch()
    for name in ("a_mask.nii.gz", "a.seg.nrrd", "a_mask_corrected.nii.gz", "a_corrected.seg.nrrd"):
        (folder / name).touch()
        for since in (-1, 1):
            when = record.stat().st_mtime_ns + since * 10**9
            os.utime(folder / "a_mask.nii.gz", (1, 1))
            os.utime(folder / name, ns=(when, when))
            assert changed_since(record, [folder]) is (since > 0)
        (folder / name).unlink() if name != "a_mask.nii.gz" else os.utime(folder / name, (1, 1))
