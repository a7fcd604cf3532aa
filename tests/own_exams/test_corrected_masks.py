"""Test that the masks which people corrected are found, and read on the grid of the images."""

import os
import shutil
from pathlib import Path

import itk
import nibabel
import numpy as np
import pydicom
import pytest
from planewise.errors import InputError
from planewise.metrics.implausible_volumes import Flag
from planewise.own_exams.corrected_masks import (
    CorrectedMask,
    by_hand_in,
    changed_since,
    corrected_masks,
    doubts_of,
    read_labels,
    said_of_by_hand,
)
from planewise.own_exams.heart_bundles import written_in
from planewise.predicted_masks import mark_predicted
from planewise.reports.slicer_segmentation import write_slicer_segmentation
from scipy.spatial.transform import Rotation

from tests.exams.conftest import write_usual_exam
from tests.exams.test_dicom_segmentation import made

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


def save(folder, labels, affine=None, name="a_mask_by_hand.nii.gz"):
    affine = nibabel.load(folder / "a_mask.nii.gz").affine if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(labels, affine), folder / name)
    return folder / name


def read(file):
    return read_labels(file, file.with_name("a_mask.nii.gz"))


def found_in(folder):
    """File and labels of the corrected mask (None if there is none), and the sentences on the others."""
    found, refused = corrected_masks(folder.parent, ["a"], folder.parent, ["phase00"])
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
    file = folder / "a_by_hand.seg.nrrd"
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
    labels = some_labels()
    for wrong, place, why in (
        (labels + 1, affine, r"the value 4; the values of the structures are 1 \(RV\), 2 \(myocardium\) and 3 \(LV\)"),
        (
            labels / 2,
            affine,
            "the value 0.5; the values of a mask must be whole numbers from 0 to 255; save it as a label map",
        ),
        (
            np.where(labels, labels, np.nan),
            affine,
            "the value nan; the values of a mask must be whole numbers from 0 to 255",
        ),
        (
            labels - 1.0,
            affine,
            "the value -1; the values of a mask must be whole numbers from 0 to 255; save it as a label",
        ),
        (labels, affine @ np.diag([0.5, 1, 1, 1]), "its voxels are not those of a_mask.nii.gz"),
        (labels, affine @ shifted(0.5, 0, 0), "its voxels are not those of a_mask.nii.gz"),
        (labels, affine @ shifted(0, 0, 3), "its voxels are not those of a_mask.nii.gz"),
        (labels[..., None].repeat(2, -1), affine, "it has 4 axes"),
    ):
        with pytest.raises(InputError, match=why):
            read(save(folder, wrong, place))
    write_slicer_segmentation(folder / "a_by_hand.seg.nrrd", labels, affine, {1: "RV", 2: "wall", 3: "LV"})
    with pytest.raises(InputError, match="its segment wall must be named RV, myocardium or LV"):
        read(folder / "a_by_hand.seg.nrrd")
    write_slicer_segmentation(folder / "a_by_hand.seg.nrrd", labels, affine, {1: "RV"})
    with pytest.raises(InputError, match="no segment myocardium or LV; save RV, myocardium and LV in one file"):
        read(folder / "a_by_hand.seg.nrrd")
    itk.imwrite(itk.image_from_array(np.zeros((2, 5, 7, 8), np.uint8)), str(folder / "a_by_hand.seg.nrrd"))
    with pytest.raises(InputError, match="it has 4 axes"):
        read(folder / "a_by_hand.seg.nrrd")
    (folder / "a_mask_by_hand.nii.gz").write_text("nothing")
    with pytest.raises(InputError, match="cannot be read"):
        read(folder / "a_mask_by_hand.nii.gz")


def test_a_mask_without_a_structure_is_not_measured_as_one_of_0_ml(folder):
    save(folder, some_labels(), name="a_mask.nii.gz")
    with pytest.raises(InputError, match=r"it has no myocardium \(2\) or LV \(3\), unlike the network's mask"):
        read(save(folder, (some_labels() == 1).astype("u1")))


@pytest.mark.parametrize(
    ("count", "overlap", "absent"), [(2, False, 0), (2, True, 0), (3, False, 0), (2, False, 1), (2, False, -2)]
)
@pytest.mark.parametrize("kind", ["unsigned char", "short", "float"])
def test_only_overlapping_segments_of_3d_slicer_are_not_measured(folder, count, overlap, absent, kind):
    """Layers are stacked along a first axis, which is not a direction in space. 3D Slicer keeps them when an overlap is
    removed."""
    labels, grid = some_labels(), nibabel.load(folder / "a_mask.nii.gz")
    layers = np.zeros((count, *labels.shape), {"unsigned char": "u1", "short": "<i2", "float": "<f4"}[kind])
    layers[0][labels == 1], layers[0][labels == 2], layers[-1][labels == 3] = 5, 1, 1
    layers[0][(labels == 3) & overlap] = 1
    lps = np.diag([-1, -1, 1, 1]) @ grid.affine
    directions, origin = ([f"({','.join(map(str, axis))})" for axis in of] for of in (lps[:3, :3].T, [lps[:3, 3]]))
    header = ["NRRD0004", f"type: {kind}", "dimension: 4", f"sizes: {count} {' '.join(map(str, labels.shape))}"]
    header += ["endian: little", "encoding: raw", "space: left-posterior-superior"]
    header += [f"space directions: none {' '.join(directions)}", "kinds: list domain domain domain"]
    header += [f"space origin: {origin[0]}"]
    for number, (name, value, layer) in enumerate([("RV", 5, 0), ("myocardium", 1, 0), ("LV", 1, count - 1 + absent)]):
        header += [f"Segment{number}_{key}" for key in (f"Name:={name}", f"LabelValue:={value}", f"Layer:={layer}")]
    file = folder / "a_by_hand.seg.nrrd"
    file.write_bytes("\n".join([*header, "", ""]).encode() + layers.tobytes(order="F"))
    if not overlap and not absent:
        found, refused = found_in(folder)
        assert refused == [] and np.array_equal(found.labels, labels)
        return
    why = "its segments overlap; save the structures as one label map without overlaps"
    if absent:
        why = f"the Layer of its segment LV must be 0 to 1, got {1 + absent}; save it again with 3D Slicer"
    assert found_in(folder) == (None, [f"{file.name} is not measured: {why}"]) and changed_since(folder, [folder])


def test_one_layer_is_read_whatever_its_number(folder):
    """Programs that merge the layers may keep the header."""
    file = folder / "a_by_hand.seg.nrrd"
    write_slicer_segmentation(file, some_labels(), nibabel.load(folder / "a_mask.nii.gz").affine, NAMES)
    file.write_bytes(file.read_bytes().replace(b"Segment2_Layer:=0", b"Segment2_Layer:=1"))
    assert np.array_equal(read(file), some_labels())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"Segment0_LabelValue": None}, "the LabelValue of its segment RV must be 1 to 65535, got none;"),
        ({"Segment0_LabelValue": "one"}, "the LabelValue of its segment RV must be 1 to 65535, got one;"),
        ({"Segment0_LabelValue": "3"}, "two of its segments have the LabelValue 3;"),
        ({"Segment0_LabelValue": "7"}, "it has the value 1, which no segment has; save it again with 3D Slicer"),
        ({"Segment0_Name": None}, "its segment Segment0 must be named RV, myocardium or LV"),
        ({f"Segment{number}_LabelValue": None for number in range(3)}, "its segment RV must be 1 to 65535, got none;"),
        ({"Segment0_Extent": "0 99 0 x"}, ""),
    ],
)
def test_a_segment_s_header_that_is_wrong_is_named(folder, changes, why):
    file = folder / "a_by_hand.seg.nrrd"
    write_slicer_segmentation(file, some_labels(), nibabel.load(folder / "a_mask.nii.gz").affine, NAMES)
    image = itk.imread(str(file))
    known = image.GetMetaDataDictionary()
    for key, value in changes.items():
        if value is None:
            known.Erase(key)
        else:
            known[key] = value
    itk.array_view_from_image(image)[0, 0, 0] = 3
    itk.imwrite(image, str(file))
    found, refused = found_in(folder)
    assert (found is None and why in refused[0]) if why else (refused == [] and found.file == file)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("a_mask_by_hand.nii.gz", lambda image: image.slicer[2:7, 1:5, 1:4]),
        ("a_mask_by_hand.nii.gz", lambda image: image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))),
        ("a_mask_by_hand.nii", lambda image: image),
        ("a_mask.nii", lambda image: image),
    ],
)
def test_a_mask_that_index_could_not_use_gets_a_copy_on_the_grid_of_the_images(folder, name, change):
    grid = nibabel.load(folder / "a_mask.nii.gz")
    nibabel.save(change(nibabel.Nifti1Image(some_labels(), grid.affine)), folder / name)
    for _ in range(2):
        found, refused = found_in(folder)
        assert (found.file.name, refused) == (name, []) and np.array_equal(found.labels, some_labels())
        copy = nibabel.load(found.nifti)
        assert found.nifti.name.endswith(".nii.gz") or name == "a_mask_by_hand.nii"
        assert np.array_equal(copy.dataobj, some_labels()) and np.allclose(copy.affine, grid.affine, atol=1e-4)
    assert len([*folder.glob("a_mask*")]) == 3 - (name == "a_mask_by_hand.nii")


def test_the_newest_mask_that_can_be_read_is_measured(folder):
    assert found_in(folder) == (None, [])
    files = [save(folder, some_labels(), name=f"a_mask_by_hand{number}.nii.gz") for number in ("", "_2")]
    files.append(folder / "a_by_hand.seg.nrrd")
    files[-1].write_text("nothing")
    for age, file in enumerate((files[1], files[0], files[2])):
        os.utime(file, (age, age))
    found, refused = found_in(folder)
    assert found.file == found.nifti == files[0] and np.array_equal(found.labels, some_labels())
    assert refused == ["a_by_hand.seg.nrrd is not measured: it cannot be read; save it again"]


def test_a_copy_of_the_network_s_mask_is_checked_and_not_corrected(folder):
    """Its name makes it a label for `planewise index`. Other programs drop the mark of a predicted mask."""
    network = nibabel.load(save(folder, some_labels(), name="a_mask.nii.gz"))
    mark_predicted(network)
    nibabel.save(network, folder / "a_mask.nii.gz")
    correction, copy = folder / "a_mask_by_hand.nii.gz", folder / "a_mask_by_hand_2.nii.gz"
    shutil.copy(folder / "a_mask.nii.gz", copy)
    assert found_in(folder) == (None, []) and by_hand_in([folder]) == [] and not changed_since(folder, [folder])
    save(folder, some_labels(), name=copy.name)
    assert found_in(folder) == (None, []) and by_hand_in([folder]) == []
    assert [file.name for file in written_in(folder, [])] == ["a_mask.nii.gz"]
    # the newest correction counts
    save(folder, some_labels()[::-1].copy())
    os.utime(correction, (1, 1))
    assert found_in(folder) == (None, []) and by_hand_in([folder]) == [correction.name]
    os.utime(copy, (0, 0))
    assert found_in(folder)[0].file == correction
    for file in (correction, copy):
        file.unlink()
    write_slicer_segmentation(folder / "a_by_hand.seg.nrrd", some_labels(), network.affine, NAMES)
    assert found_in(folder) == (None, []) and np.array_equal(nibabel.load(correction).dataobj, some_labels())


def test_the_file_that_the_person_saved_is_named_not_its_copy(folder):
    """The copy is for `planewise index --labels`, which reads only NIfTI. Other programs may change the files' times."""
    file, copy = folder / "a_by_hand.seg.nrrd", folder / "a_mask_by_hand.nii.gz"
    write_slicer_segmentation(file, some_labels(), nibabel.load(folder / "a_mask.nii.gz").affine, NAMES)
    for touched in (file, copy, file):
        found, refused = found_in(folder)
        assert (found.file, found.nifti, refused) == (file, copy, [])
        os.utime(touched)
    assert [path.name for path in folder.glob("*_by_hand*.nii.gz")] == [copy.name]
    # the copy is corrected further
    save(folder, some_labels()[::-1].copy())
    assert found_in(folder)[0].file == copy


def test_a_dicom_segmentation_is_measured(folder, tmp_path):
    slices, labels, _ = made(write_usual_exam(tmp_path / "exam"), tmp_path)
    affine = np.array(slices[0]["affine"])
    affine[:, 2] = (np.array(slices[-1]["affine"]) - affine)[:, 3] / (len(slices) - 1)
    network = labels.copy()
    network[tuple(np.argwhere(labels)[0])] = 0
    save(folder, network, affine, "a_mask.nii.gz")
    seg, record = tmp_path / "made.seg.dcm", folder / "done.json"
    record.touch()
    os.utime(record, (1, 1))
    assert not changed_since(record, [tmp_path])
    content = pydicom.dcmread(seg)
    content.Manufacturer = "another program"
    content.save_as(seg)
    assert changed_since(record, [tmp_path]), "an archive processes the exam again"
    seg = seg.rename(tmp_path / "phase00_by_hand.seg.dcm")
    found, refused = found_in(folder)
    assert (found.file, refused) == (seg, []) and np.array_equal(found.labels, labels)
    assert found.nifti == folder / "a_mask_by_hand.nii.gz" and np.array_equal(read(found.nifti), labels)
    frames = list(content.PerFrameFunctionalGroupsSequence)
    for change, why in (
        (lambda: setattr(content, "PerFrameFunctionalGroupsSequence", [frames[1], *frames[1:]]), "segments overlap"),
        (lambda: setattr(content.SegmentSequence[0], "SegmentLabel", "Wall"), "its segment Wall must be named RV, Ri"),
        (lambda: setattr(content.SegmentSequence[0], "SegmentLabel", "Left ventricle"), r"it has no RV \(1\)"),
        (lambda: content.SharedFunctionalGroupsSequence[0].clear(), "it cannot be read"),
    ):
        change()
        content.save_as(seg)
        with pytest.raises(InputError, match=why):
            read_labels(seg, folder / "a_mask.nii.gz")


def test_a_mask_under_a_name_of_its_own_is_named_and_not_listed_as_written(folder):
    """ITK-SNAP's "save as" may also choose an uncompressed file."""
    network = nibabel.Nifti1Image(some_labels(), np.eye(4))
    mark_predicted(network)
    nibabel.save(network, folder / "a_mask.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).random((8, 7, 5)), np.eye(4)), folder / "a_denoised.nii")
    (folder / "segmentation.png").touch()
    own = {"a_mask.nii.gz", "a_before.nii.gz", "a_denoised.nii", "segmentation.png"}
    shutil.copy(folder / "a_mask.nii.gz", folder / "a_before.nii.gz")
    assert found_in(folder) == (None, []) and not changed_since(folder, [folder])
    names = ["a_by_hand.nii.gz", "a_corrected.seg.nrrd", "a_mask_corrected.nii.gz"]
    for name in (names[0], names[2]):
        save(folder, some_labels() // 2, name=name)
    names += ["a.seg.dcm", "a_mask.mha", "a_mask.nrrd", "exported.dcm"]
    for name in names[3:]:
        (folder / name).touch()
    names.sort()
    os.utime(folder, (1, 1))
    assert changed_since(folder, [folder]), "an archive processes the exam again"
    write_slicer_segmentation(folder / "a.seg.nrrd", some_labels(), np.eye(4), NAMES)
    edited = itk.imread(str(folder / "a.seg.nrrd"))
    itk.array_view_from_image(edited)[0, 0, 0] = 3
    itk.imwrite(edited, str(folder / "a_corrected.seg.nrrd"))
    right = "save a mask of this phase as a_mask_by_hand.nii.gz or a_by_hand.seg.nrrd"
    assert found_in(folder) == (None, [f"{name} is not measured: {right}" for name in names])
    assert {file.name for file in written_in(folder, by_hand_in([folder]))} == {*own, "a.seg.nrrd"}


@pytest.mark.parametrize(
    ("change", "structures", "text"),
    [
        (
            lambda labels: np.where(labels > 0, 4 - labels, 0),
            ["RV", "LV"],
            "a_mask_by_hand.nii.gz hardly overlaps with the network's RV or LV",
        ),
        (
            lambda labels: labels[::-1],
            [*NAMES.values()],
            "a_mask_by_hand.nii.gz fits the network's mask better when it",
        ),
        (
            lambda labels: np.roll(labels, 3, axis=0),
            [*NAMES.values()],
            "a_mask_by_hand.nii.gz hardly overlaps with the network's RV, myoc",
        ),
        (
            lambda labels: np.where(np.arange(5) < 3, labels, 0),
            ["LV"],
            "a_mask_by_hand.nii.gz has no LV in 2 of the 5 slices",
        ),
        (lambda labels: np.where(np.arange(5) < 4, labels, 0), [], ""),
        (lambda labels: np.where(labels == 0, 3, labels), [], ""),
    ],
    ids=["swapped", "mirrored", "shifted", "incomplete", "without the last slice", "larger"],
)
def test_a_corrected_mask_unlike_the_network_s_is_doubted(change, structures, text):
    network = np.zeros((8, 7, 5), np.uint8)
    network[1, :, :2], network[2, :, :2], network[3:6] = 1, 2, 3
    mask = CorrectedMask(Path("a_mask_by_hand.nii.gz"), Path(), change(network))
    doubts = doubts_of({1: mask}, [network] * 2, ["phase00", "phase50"])
    assert [(flag.phase, *flag.structures) for flag in doubts] == [(1, *structures)] * bool(structures)
    assert all(flag.text.startswith(text) and "a_mask_by_hand.nii.gz" in flag.text for flag in doubts)


#: The side of the LV's square in each phase of a beating heart, see `heart_of`.
BEATING = [16, 16, 15, 13, 11, 10, 10, 11, 13, 14, 15, 15]


def heart_of(side):
    """A heart whose LV is a square of this side in five slices, between an RV and a myocardium of constant size."""
    labels = np.zeros((24, 24, 5), np.uint8)
    labels[:2], labels[20:], labels[3 : 3 + side, 2 : 2 + side] = 1, 2, 3
    return labels


@pytest.mark.parametrize(
    ("sides", "phase", "side", "doubted"),
    [
        (BEATING, 6, 16, True),
        (BEATING, 0, 10, True),
        (BEATING[::3], 2, 16, True),
        (BEATING[::6], 1, 16, True),
        (BEATING, 6, 12, False),
        (BEATING, 4, 10, False),
        ([16, 8, *BEATING[2:]], 1, 16, False),
        ([16, 7], 1, 12, False),
        ([8, 8, *BEATING[2:]], 0, 15, False),
    ],
    ids=[
        "end-diastole at end-systole",
        "end-systole at end-diastole",
        "four phases",
        "two phases",
        "larger",
        "smaller",
        "the network fails in one phase",
        "the network fails in one of two",
        "the network fails in the first two phases",
    ],
)
def test_a_corrected_mask_under_the_name_of_another_phase_is_doubted(sides, phase, side, doubted):
    names = [f"phase{100 * number // len(sides):02d}" for number in range(len(sides))]
    mask = CorrectedMask(Path("a_mask_by_hand.nii.gz"), Path(), heart_of(side))
    flags = doubts_of({phase: mask}, [heart_of(own) for own in sides], names)
    other = names[sides.index(side)] if doubted else ""
    text = (
        f"the LV of a_mask_by_hand.nii.gz fits the network's LV of {other} much better than that of {names[phase]}: was the "
        "mask saved under the wrong phase?"
    )
    assert flags == [Flag(tuple(NAMES.values()), "volume", phase, text)] * doubted


def test_every_run_names_all_corrected_masks(tmp_path):
    assert said_of_by_hand(by_hand_in([tmp_path])) == []
    for name in ("a_mask.nii.gz", "a_mask_by_hand.nii.gz", "a_by_hand.seg.nrrd"):
        (tmp_path / name).touch()
    network = "all volumes, pictures and DICOM files come from the network's masks"
    both = by_hand_in([tmp_path])
    assert both == ["a_by_hand.seg.nrrd", "a_mask_by_hand.nii.gz"] == by_hand_in([tmp_path, tmp_path])
    assert said_of_by_hand(both) == [f"2 masks changed by hand are kept as {', '.join(both)}; {network}"]
    assert said_of_by_hand(both[:1]) == [f"1 mask changed by hand is kept as {both[0]}; {network}"]
