"""Test that the masks which people corrected are found, and read on the grid of the images; and that ITK reads a `.seg.nrrd`
with voxels at the right places, and the names that Slicer shows."""

import itk
import nibabel
import numpy as np
import pytest
from planewise.errors import InputError
from planewise.own_exams.masks import corrected_masks, read_labels, write_slicer_segmentation
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


def test_a_mask_of_3d_slicer_becomes_a_label_for_an_index_once(folder):
    file, copy = folder / "a_corrected.seg.nrrd", folder / "a_mask_corrected.nii.gz"
    write_slicer_segmentation(file, some_labels(), nibabel.load(folder / "a_mask.nii.gz").affine, NAMES)
    for _ in range(2):
        found, refused = found_in(folder)
        assert (found.file, refused) == (file, []) and np.array_equal(found.labels, some_labels())
        assert np.array_equal(nibabel.load(copy).dataobj, some_labels())
    assert len([*folder.glob("*_corrected*")]) == 2
    write_slicer_segmentation(file, some_labels()[::-1].copy(), nibabel.load(copy).affine, NAMES)
    found, _ = found_in(folder)
    assert np.array_equal(found.labels, some_labels()[::-1]) and (folder / "a_mask_corrected_2.nii.gz").is_file()


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
