"""Test the user's own masks and classes for DICOM exams."""

import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.errors import InputError
from planewise.exams import index_folder
from planewise.exams.masks import match_mask, read_grid
from planewise.exams.stack import Slice
from planewise.exams.tables import read_classes
from planewise.files.masks import mark_predicted
from planewise.files.nifti import grid_of_slices, write_nifti
from planewise.findings import finding

from tests.exams.conftest import write_usual_exam


@pytest.fixture
def tree(tmp_path) -> Path:
    write_usual_exam(tmp_path / "data" / "case7")
    return tmp_path / "data"


def items_of(result):
    return [item for section in ("training", "validation", "test") for item in result.datalist[section]]


def stack_affine(result) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The affine and the shape of a volume made of the stack's slices."""
    first = {item["slice"]: np.array(item["affine"]) for item in items_of(result)}
    affine = first[0].copy()
    affine[:3, 2] = (first[max(first)][:3, 3] - first[0][:3, 3]) / max(first)
    return affine, (24, 20, len(first))


def write_mask(path: Path, affine, shape, marks=None, predicted=False) -> Path:
    """Write a mask with the value 1 at the voxels ``marks``."""
    mask = np.zeros(shape, dtype=np.uint8)
    for mark in marks or []:
        mask[mark] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(mask, affine)
    if predicted:
        mark_predicted(image)
    nibabel.save(image, path)
    return path


def labelled(result):
    return [item for item in items_of(result) if "label" in item]


@pytest.mark.parametrize(("name", "phase"), [("case7_frame03", 2 / 6), ("case7_ed", 0.0), ("case7_frame01_gt", 0.0)])
def test_masks_are_found_by_folder_and_phase(tree, tmp_path, name, phase):
    affine, shape = stack_affine(index_folder(tree))
    write_mask(tmp_path / "labels" / f"{name}.nii.gz", affine, shape)
    result = index_folder(tree, labels_dir=tmp_path / "labels")
    found = labelled(result)
    assert {item["phase"] for item in found} == {round(phase, 6)}
    assert sorted((item["slice"], item["label_frame"]) for item in found) == [(k, k) for k in range(5)]
    assert all("label_axes" not in item for item in found)
    assert result.unmatched == []


def test_masks_that_planewise_kept_for_a_person_replace_those_of_the_network(tree, tmp_path):
    plain = index_folder(tree)
    affine, shape = stack_affine(plain)
    (exam,) = plain.datalist["exams"]
    for kind in ("mask", "mask_corrected", "mask_corrected_2"):
        write_mask(tmp_path / "labels" / f"{exam}_phase33_{kind}.nii.gz", affine, shape, predicted=kind == "mask")
    result = index_folder(tree, labels_dir=tmp_path / "labels")
    assert {item["phase"] for item in labelled(result)} == {round(2 / 6, 6)}
    assert {Path(item["label"]).name for item in labelled(result)} == {f"{exam}_phase33_mask_corrected_2.nii.gz"}
    # the newest, which `planewise segment` measures, too
    os.utime(tmp_path / "labels" / f"{exam}_phase33_mask_corrected_2.nii.gz", (1, 1))
    result = index_folder(tree, labels_dir=tmp_path / "labels")
    assert {Path(item["label"]).name for item in labelled(result)} == {f"{exam}_phase33_mask_corrected.nii.gz"}
    # a truncated one is not used
    file = tmp_path / "labels" / f"{exam}_phase33_mask_corrected.nii.gz"
    file.write_bytes(file.read_bytes()[:-20])
    result = index_folder(tree, labels_dir=tmp_path / "labels")
    assert {Path(item["label"]).name for item in labelled(result)} == {f"{exam}_phase33_mask_corrected_2.nii.gz"}


def test_of_a_folder_of_results_only_masks_that_a_person_corrected_or_checked_are_labels(tree, tmp_path):
    plain = index_folder(tree)
    affine, shape = stack_affine(plain)
    names = [f"{exam}_phase{phase}_mask" for exam in plain.datalist["exams"] for phase in ("00", "17", "33", "50")]
    for name in names:
        write_mask(tmp_path / "masks" / name / f"{name}.nii.gz", affine, shape, predicted=True)
    result = index_folder(tree, labels_dir=tmp_path / "masks")
    assert {item["label_origin"] for item in labelled(result)} == {"predicted"}, "a network made all of them"
    files = [tmp_path / "masks" / name / f"{name}_corrected.nii.gz" for name in names[:3]]
    shutil.copy(files[0].with_name(f"{names[0]}.nii.gz"), files[0])
    for file in files[1:]:
        write_mask(file, affine, shape, [(1, 2, 3)])
    result = index_folder(tree, labels_dir=tmp_path / "masks")
    assert {item["label"] for item in labelled(result)} == set(map(str, files))
    assert not any("label_origin" in item for item in labelled(result))
    assert [why["kind"] for _, why in result.unmatched] == 3 * ["corrected"]
    assert finding("masks-note", count=1, kind="predicted-left-out") in result.warnings


def test_masks_drawn_on_converted_images_are_mirrored_back(tree, tmp_path):
    """dcm2niix reverses rows; a mark must land on the image's voxel at the same position."""
    affine, shape = stack_affine(index_folder(tree))
    place = affine @ [5, 3, 2, 1]
    mirrored = affine.copy()
    mirrored[:3, 1] *= -1
    mirrored[:3, 3] += (shape[1] - 1) * affine[:3, 1]
    swapped = mirrored[:, [1, 0, 2, 3]]
    mark = tuple(np.rint(np.linalg.inv(swapped) @ place).astype(int)[:3])
    write_mask(tmp_path / "labels" / "case7_ed.nii.gz", swapped, (20, 24, 5), [mark])
    result = index_folder(tree, labels_dir=tmp_path / "labels")
    (item,) = [item for item in labelled(result) if item["slice"] == 2]
    mask = np.asarray(nibabel.load(item["label"]).dataobj)[:, :, item["label_frame"]]
    mask = nibabel.orientations.apply_orientation(mask, item["label_axes"])
    assert mask.shape == (24, 20)
    assert np.argwhere(mask).tolist() == [[5, 3]]
    # a corrected mask in the image's own axes is not mirrored
    write_mask(tmp_path / "labels" / "case7_ed_corrected.nii.gz", affine, shape, [(5, 3, 2)])
    found = labelled(index_folder(tree, labels_dir=tmp_path / "labels"))
    assert {Path(item["label"]).name for item in found} == {"case7_ed_corrected.nii.gz"}
    assert not any("label_axes" in item for item in found)


def test_masks_that_do_not_fit_are_listed_with_the_reason(tree, tmp_path):
    affine, shape = stack_affine(index_folder(tree))
    moved = affine.copy()
    moved[:3, 3] += 40 * affine[:3, 0] / np.linalg.norm(affine[:3, 0])
    turned = affine.copy()
    turned[:3, 0] += 0.2 * affine[:3, 1]
    masks = tmp_path / "labels"
    write_mask(masks / "case7_frame02.nii.gz", moved, shape)
    write_mask(masks / "case7_frame03.nii.gz", affine, (22, 20, 5))
    write_mask(masks / "case7_frame04.nii.gz", turned, shape)
    write_mask(masks / "case7_frame40.nii.gz", affine, shape)
    write_mask(masks / "case7.nii.gz", affine, shape)
    write_mask(masks / "case7_es.nii.gz", affine, shape)
    write_mask(masks / "nobody_ed.nii.gz", moved, shape)
    write_mask(masks / "case7_frame05.nii.gz", affine, (*shape, 2))
    write_mask(masks / "cine.nii.gz", affine, (*shape, 2))
    (masks / "broken_ed.nii.gz").write_bytes(b"no")
    result = index_folder(tree, labels_dir=masks)
    reasons = dict(result.unmatched)
    assert labelled(result) == []
    assert reasons["case7_frame02.nii.gz"] == finding("grid-differs", kind="place", mm=40.0)
    assert reasons["case7_frame03.nii.gz"] == finding("grid-differs", kind="shape", own=(22, 20), wanted=(24, 20))
    assert reasons["case7_frame04.nii.gz"]["kind"] == "place"
    assert reasons["case7_frame40.nii.gz"] == finding("mask-not-used", kind="beyond", phase="frame40", count=6)
    assert reasons["case7.nii.gz"] == finding("mask-not-used", kind="unnamed", example="case7_frame08")
    assert reasons["case7_es.nii.gz"] == finding("mask-not-used", kind="unnamed", example="case7_frame08")
    assert reasons["nobody_ed.nii.gz"] == finding("name-unusable", kind="unknown")
    assert reasons["broken_ed.nii.gz"] == finding("nifti-damaged")
    assert reasons["cine.nii.gz"] == reasons["case7_frame05.nii.gz"]
    assert (reasons["cine.nii.gz"]["kind"], reasons["cine.nii.gz"]["count"], len(reasons)) == ("dimensions", 4, 10)


def test_classes_reach_every_item_of_the_exam(tree, tmp_path):
    write_usual_exam(tree / "case8", PatientID="P-2", StudyInstanceUID="1.2.8", FrameOfReferenceUID="1.2.8.1")
    (tmp_path / "classes.csv").write_text("exam,group,height\ncase7,DCM,180.5\nP-2,NOR,\nnobody,HCM,160\n,,\n")
    result = index_folder(tree, classes=tmp_path / "classes.csv")
    groups = {item["image"].split("/")[-3]: (item.get("group"), item.get("height")) for item in items_of(result)}
    assert groups == {"case7": ("DCM", 180.5), "case8": ("NOR", None)}
    assert result.unmatched == [("nobody", finding("name-unusable", kind="unknown"))]
    write_usual_exam(tree / "more/case7", PatientID="P-3", StudyInstanceUID="1.2.9", FrameOfReferenceUID="1.2.9.1")
    (tmp_path / "classes.csv").write_text("exam,group\ncase7,DCM\ncase8,NOR\n")
    result = index_folder(tree, classes=tmp_path / "classes.csv")
    assert result.unmatched == [("case7", finding("name-unusable", kind="patients", count=2))]
    assert {item["image"].split("/")[-3] for item in items_of(result) if "group" in item} == {"case8"}
    # a PatientID names all exams of the patient
    write_usual_exam(tree / "case9", PatientID="P-2", StudyInstanceUID="1.2.10", FrameOfReferenceUID="1.2.10.1")
    (tmp_path / "classes.csv").write_text("exam,group\nP-2,NOR\n")
    result = index_folder(tree, classes=tmp_path / "classes.csv")
    assert result.unmatched == []
    assert {item["image"].split("/")[-3] for item in items_of(result) if "group" in item} == {"case8", "case9"}


@pytest.mark.parametrize(
    "content",
    [
        "exam\na\n",
        "exam,label\na,1\n",
        "exam,a,a\n1,2,3\n",
        "p1,DCM\np2,NOR\np3,DCM\n",
        "exam,height,sex\np1,1,75,0\n",
        # an open quote would swallow all rows that follow
        'exam,sex,age\np1,"0,40\np2,1,50\n',
    ],
)
def test_class_tables_that_cannot_be_used(tmp_path, content):
    (tmp_path / "c.csv").write_text(content)
    with pytest.raises(InputError, match=r"c\.csv"):
        read_classes(tmp_path / "c.csv")


@pytest.mark.parametrize("moved", ["evenly", "along the normal", "along the rows"])
def test_a_mask_on_the_grid_that_planewise_writes_is_matched_by_slice(moved, tmp_path):
    """The file has one spacing and no shear, so its slices lie elsewhere than those of an uneven or a sheared stack."""
    affines = [np.diag([1.5, 1.5, 8.0, 1.0]) for _ in range(9)]
    for depth, affine in enumerate(affines):
        affine[2, 3] = 8 * depth + 4 * (moved == "along the normal" and depth > 5)
        affine[0, 3] = 3 * depth * (moved == "along the rows")
    slices = [Slice(0.0, affine, [], ("", 0, 0, ()), "1") for affine in affines]
    write_nifti(tmp_path / "m.nii.gz", np.ones((24, 20, 9)), grid_of_slices(np.array(affines)))
    pairs, axes = match_mask(*read_grid(tmp_path / "m.nii.gz"), slices, (24, 20))
    assert pairs == [(depth, depth) for depth in range(9)] and axes == [[0, 1], [1, 1]]
