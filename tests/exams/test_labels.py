"""Test the user's own masks and classes for DICOM exams."""

import os
import re
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.data import gather_stacks
from planewise.errors import InputError
from planewise.exams import index_folder
from planewise.exams.labels import (
    DICOM_MASK,
    NO_MASK,
    OF_A_MASK,
    KnownNames,
    mask_files,
    match_mask,
    not_corrected_elsewhere,
    read_classes,
    read_grid,
    read_label_map,
)
from planewise.exams.refusals import ARCHIVE, OTHER_FORMAT
from planewise.exams.stack import Slice
from planewise.files.nifti import grid_of_slices, write_nifti
from planewise.files.predicted_masks import mark_predicted
from planewise.findings import finding
from planewise.preprocessing import LoadSliced, LoadStackd

from tests.exams.conftest import USUAL_AXIS, write_usual_exam
from tests.exams.files import write_cine
from tests.exams.told import codes

CORRECTED_ELSEWHERE = finding("mask-not-used", kind="corrected")


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


def test_masks_are_found_by_hash_and_by_grid(tree, tmp_path):
    plain = index_folder(tree)
    affine, shape = stack_affine(plain)
    (exam,) = plain.datalist["exams"]
    for name in (f"{exam}_frame02", "whatever_frame04"):
        write_mask(tmp_path / "labels" / f"{name}.nii.gz", affine, shape)
    result = index_folder(tree, labels_dir=tmp_path / "labels")
    assert {item["phase"] for item in labelled(result)} == {round(1 / 6, 6), 0.5}
    assert result.unmatched == []
    assert result.by_grid == {"whatever_frame04.nii.gz": exam}


def test_masks_that_inference_wrote_are_found_by_hash_and_share_of_the_cycle(tree, tmp_path):
    plain = index_folder(tree)
    affine, shape = stack_affine(plain)
    (exam,) = plain.datalist["exams"]
    for name in (f"{exam}_mask", f"{exam}_phase33_mask"):
        write_mask(tmp_path / "labels" / name / f"{name}.nii.gz", affine, shape)
    result = index_folder(tree, labels_dir=tmp_path / "labels")
    assert {item["phase"] for item in labelled(result)} == {0.0, round(2 / 6, 6)}
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


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda image: image.slicer[1:-1], "shape"),
        (lambda image: image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]])), "planes"),
    ],
)
def test_a_networks_mask_does_not_take_the_place_of_a_corrected_one_that_does_not_fit(tree, tmp_path, change, kind):
    plain = index_folder(tree)
    affine, shape = stack_affine(plain)
    name = f"{next(iter(plain.datalist['exams']))}_phase33_mask"
    file = write_mask(tmp_path / "labels" / f"{name}.nii.gz", affine, shape, predicted=True)
    nibabel.save(change(nibabel.load(file)), tmp_path / "labels" / f"{name}_corrected.nii.gz")
    result = index_folder(tree, labels_dir=tmp_path / "labels", checked=True)
    assert labelled(result) == []
    said = dict(result.unmatched)
    why = said[f"{name}_corrected.nii.gz"]
    assert (why.code, why["kind"]) == ("grid-differs", kind)
    assert said[file.name] == CORRECTED_ELSEWHERE


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
    assert result.unmatched == [(f"{names[0]}.nii.gz and 2 more", CORRECTED_ELSEWHERE)]
    assert finding("masks-predicted-left-out", count=1) in result.warnings and len(result.masks) == 7
    result = index_folder(tree, labels_dir=tmp_path / "masks", checked=True)
    assert len({item["label"] for item in labelled(result)}) == 4


def test_a_mask_that_a_person_corrected_in_slicer_is_no_label(tree, tmp_path):
    plain = index_folder(tree)
    affine, shape = stack_affine(plain)
    name = f"{next(iter(plain.datalist['exams']))}_phase33"
    write_mask(tmp_path / "labels" / f"{name}_mask.nii.gz", affine, shape, predicted=True)
    (tmp_path / "labels" / f"{name}_corrected.seg.nrrd").touch()
    found = index_folder(tree, labels_dir=tmp_path / "labels")
    assert labelled(found) == [] and f"{name}_mask.nii.gz" in dict(found.unmatched)


def test_shares_of_the_cycle_are_those_of_most_slices(tree, tmp_path):
    """Inference names its masks by the cycle of most slices, whatever a single slice has."""
    write_cine(tree / "case7/sax_3", [-20.0, 15.0, -10.0], USUAL_AXIS, number=3, phases=8)
    plain = index_folder(tree)
    affine, shape = stack_affine(plain)
    (exam,) = plain.datalist["exams"]
    write_mask(tmp_path / "labels" / f"{exam}_phase50_mask.nii.gz", affine, shape)
    found = labelled(index_folder(tree, labels_dir=tmp_path / "labels"))
    assert {item["phase"] for item in found} == {0.5} and len(found) == 4


def test_masks_that_inference_wrote_for_whole_volumes(tmp_path):
    """Predicted masks replace the exam's own masks, and are matched by hash and phase."""
    folder = tmp_path / "data" / "patient001"
    for frame in (1, 3):
        write_mask(folder / f"patient001_frame0{frame}.nii.gz", np.eye(4), (6, 5, 4))
        write_mask(folder / f"patient001_frame0{frame}_gt.nii.gz", np.eye(4), (6, 5, 4))
    (folder / "Info.cfg").write_text("ED: 1\nES: 3\nGroup: DCM\nHeight: 180.0\nNbFrame: 8\nWeight: 80.0\n")
    own = labelled(index_folder(tmp_path / "data"))
    assert len(own) == 2 and all(Path(item["label"]).parent == folder for item in own)
    exam = own[0]["exam"]
    predicted = {
        phase: write_mask(tmp_path / "masks" / f"{exam}_{phase}" / f"{exam}_{phase}_mask.nii.gz", np.eye(4), (6, 5, 4))
        for phase in ("ED", "ES")
    }
    result = index_folder(tmp_path / "data", labels_dir=tmp_path / "masks")
    assert {item["phase"]: item["label"] for item in items_of(result)} == {k: str(v) for k, v in predicted.items()}
    assert result.unmatched == [] and "masks-of-two-origins" not in codes(result.warnings)
    # if a predicted mask is missing, the exam keeps its own mask, and the command reports this
    predicted["ES"].unlink()
    for name in ("patient001_frame01", "patient001_frame01_gt"):
        copy = tmp_path / "data" / "patient002" / f"{name.replace('patient001', 'patient002')}.nii.gz"
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(folder / f"{name}.nii.gz", copy)
    result = index_folder(tmp_path / "data", labels_dir=tmp_path / "masks")
    assert finding("masks-of-two-origins", given=1, own=2) in result.warnings


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


def test_a_mask_with_the_name_of_a_cine_is_told_the_name_that_it_needs(tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    affine = np.diag([2.0, 2, 8, 1])
    nibabel.save(nibabel.Nifti1Image(np.arange(3840, dtype="i2").reshape(24, 20, 4, 2), affine), images / "p1.nii.gz")
    write_mask(masks / "p1.nii.gz", affine, (24, 20, 4), [(5, 3, 2)])
    result = index_folder(images, labels_dir=masks)
    ((name, reason),) = result.unmatched
    assert name == "p1.nii.gz" and labelled(result) == []
    (masks / "p1.nii.gz").rename(masks / f"{reason['example']}.nii.gz")
    (item,) = labelled(index_folder(images, labels_dir=masks))
    assert item["time"] == 1


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
    assert reasons["case7_frame04.nii.gz"] == finding("grid-differs", kind="planes")
    assert reasons["case7_frame40.nii.gz"] == finding("mask-not-used", kind="beyond", phase="frame40", count=6)
    assert reasons["case7.nii.gz"] == finding("mask-not-used", kind="unnamed", example="case7_ed")
    assert reasons["case7_es.nii.gz"] == finding("mask-not-used", kind="systole")
    assert reasons["nobody_ed.nii.gz"] == finding("name-unknown")
    assert reasons["broken_ed.nii.gz"] == finding("nifti-damaged")
    assert reasons["cine.nii.gz"] == reasons["case7_frame05.nii.gz"]
    assert (reasons["cine.nii.gz"]["kind"], reasons["cine.nii.gz"]["count"], len(reasons)) == ("dimensions", 4, 10)


def test_a_mask_may_have_an_axis_of_time_with_one_frame(tree, tmp_path):
    affine, shape = stack_affine(index_folder(tree))
    write_mask(tmp_path / "labels/case7_frame02.nii.gz", affine, (*shape, 1), [(5, 3, 2, 0)])
    result = index_folder(tree, labels_dir=tmp_path / "labels", split=(1, 0, 0))
    found = labelled(result)
    assert len(found) == shape[2] and result.unmatched == []
    marked = {item["slice"]: LoadSliced(("image", "label"))(item)["label"].sum() for item in found}
    assert sum(marked.values()) == 1
    # evaluation reads the whole stack, and the label map applies there, too
    (stack,) = gather_stacks([item | {"label_map": {"1": 3}} for item in found])
    volume = LoadStackd(("image", "label"))(stack)["label"]
    assert volume.shape == shape and volume[5, 3].max() == volume.max() == 3


def test_a_data_set_s_own_mask_with_such_values_is_left_out(tmp_path):
    image = np.random.default_rng(0).random((24, 20, 5)).astype(np.float32)
    for name, array in (("a", image), ("a_gt", image // 0.5 / 2), ("b", image), ("b_gt", image // 0.5)):
        nibabel.save(nibabel.Nifti1Image(array, np.diag([2.0, 2, 8, 1])), tmp_path / f"{name}.nii.gz")
    result = index_folder(tmp_path)
    assert [Path(item["label"]).name for item in labelled(result)] == ["b_gt.nii.gz"]
    ((name, why),) = result.unmatched
    assert (name, why["kind"], why["value"]) == ("a_gt.nii.gz", "number", 0.5)
    assert sorted(entry["labels"] for entry in result.datalist["exams"].values()) == [0, 1]
    renamed = items_of(index_folder(tmp_path, label_map={1: 3}))
    assert [item.get("label_map") for item in renamed if "label" in item] == [{"1": 3}]
    assert not any(item.keys() & set(OF_A_MASK) for item in renamed if "label" not in item)


def test_a_mask_of_finer_pixels_is_refused_with_that_reason(tree, tmp_path):
    affine, shape = stack_affine(index_folder(tree))
    finer = affine.copy()
    finer[:3, :2] /= 2
    write_mask(tmp_path / "labels/case7_ed.nii.gz", finer, (2 * shape[0], 2 * shape[1], shape[2]))
    turned = affine.copy()
    turned[:3, :3] = turned[:3, [2, 0, 1]]
    write_mask(tmp_path / "labels/case7_frame02.nii.gz", turned, shape)
    assert dict(index_folder(tree, labels_dir=tmp_path / "labels").unmatched) == dict.fromkeys(
        ("case7_ed.nii.gz", "case7_frame02.nii.gz"), finding("grid-differs", kind="planes")
    )


def test_the_class_table_can_say_when_systole_ends(tree, tmp_path):
    affine, shape = stack_affine(index_folder(tree))
    write_mask(tmp_path / "labels" / "case7_es.nii.gz", affine, shape)
    for header in ("ES", "es"):
        (tmp_path / "classes.csv").write_text(f"exam,{header}\ncase7,3\n")
        result = index_folder(tree, labels_dir=tmp_path / "labels", classes=tmp_path / "classes.csv")
        assert {item["phase"] for item in labelled(result)} == {round(2 / 6, 6)}


def test_a_mask_of_some_slices_labels_those(tree, tmp_path):
    affine, shape = stack_affine(index_folder(tree))
    part = affine.copy()
    part[:3, 3] += 2 * affine[:3, 2]
    write_mask(tmp_path / "labels" / "case7_ed.nii.gz", part, (*shape[:2], 2))
    result = index_folder(tree, labels_dir=tmp_path / "labels")
    assert sorted((item["slice"], item["label_frame"]) for item in labelled(result)) == [(2, 0), (3, 1)]


def test_images_and_masks_in_two_folders(tmp_path):
    for name in ("a", "b"):
        write_mask(tmp_path / "imagesTr" / f"{name}.nii.gz", np.eye(4), (6, 5, 4))
    write_mask(tmp_path / "labelsTr" / "a.nii.gz", np.eye(4), (6, 5, 4))
    write_mask(tmp_path / "labelsTr" / "b.nii.gz", np.eye(4), (6, 5, 3))
    result = index_folder(tmp_path / "imagesTr", labels_dir=tmp_path / "labelsTr")
    assert [Path(item["image"]).name for item in labelled(result)] == ["a.nii.gz"]
    assert result.unmatched == [("b.nii.gz", finding("grid-differs", kind="shape", own=(6, 5, 3), wanted=(6, 5, 4)))]


def test_classes_reach_every_item_of_the_exam(tree, tmp_path):
    write_usual_exam(tree / "case8", PatientID="P-2", StudyInstanceUID="1.2.8", FrameOfReferenceUID="1.2.8.1")
    (tmp_path / "classes.csv").write_text("exam,group,height\ncase7,DCM,180.5\nP-2,NOR,\nnobody,HCM,160\n,,\n")
    result = index_folder(tree, classes=tmp_path / "classes.csv")
    groups = {item["image"].split("/")[-3]: (item.get("group"), item.get("height")) for item in items_of(result)}
    assert groups == {"case7": ("DCM", 180.5), "case8": ("NOR", None)}
    assert result.unmatched == [("nobody", finding("name-unknown"))]
    write_usual_exam(tree / "more/case7", PatientID="P-3", StudyInstanceUID="1.2.9", FrameOfReferenceUID="1.2.9.1")
    (tmp_path / "classes.csv").write_text("exam,group\ncase7,DCM\ncase8,NOR\n")
    result = index_folder(tree, classes=tmp_path / "classes.csv")
    assert result.unmatched == [("case7", finding("name-ambiguous", kind="patients", count=2))]
    assert {item["image"].split("/")[-3] for item in items_of(result) if "group" in item} == {"case8"}
    # a PatientID names all exams of the patient
    write_usual_exam(tree / "case9", PatientID="P-2", StudyInstanceUID="1.2.10", FrameOfReferenceUID="1.2.10.1")
    (tmp_path / "classes.csv").write_text("exam,group\nP-2,NOR\n")
    result = index_folder(tree, classes=tmp_path / "classes.csv")
    assert result.unmatched == []
    assert {item["image"].split("/")[-3] for item in items_of(result) if "group" in item} == {"case8", "case9"}


def test_leading_zeros_of_a_number_do_not_matter():
    assert KnownNames([{"007"}, {"17"}]).find("7") == [0]
    assert KnownNames([{"007"}, {"7"}]).find("007") == [0]
    assert KnownNames([{"x007"}]).find("x7") == []
    assert KnownNames([{"kn-7"}, {"kn-8"}]).find("KN-7") == [0]
    assert KnownNames([{"kn-7"}, {"KN-7"}]).find("KN-7") == [1]
    assert KnownNames([{"5"}]).find("5²") == []
    assert KnownNames([{"9"}]).find("9" * 5000) == [], "Python refuses to convert so many digits"


def test_a_label_map_goes_to_labelled_items(tmp_path):
    for name in ("a", "a_gt", "b"):
        write_mask(tmp_path / f"{name}.nii.gz", np.eye(4), (6, 5, 4))
    (tmp_path / "map.yml").write_text("1: 3\n2: 2\n3: 1\n")
    for label_map in (tmp_path / "map.yml", str(tmp_path / "map.yml"), {1: 3, 2: 2, 3: 1}):
        items = items_of(index_folder(tmp_path, label_map=label_map))
        assert [item.get("label_map") for item in items].count({"1": 3, "2": 2, "3": 1}) == 1


#: The keys in the table of tools/docs/datalist.md, and those of whole volumes and of our own use.
RESERVED_NAMES = (
    "image", "frame", "time", "affine", "planes", "location", "exam", "patient", "stack", "slice", "phase", "label_frame",
    "label_axes", "label_map", "label_origin", "shift",
)  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        "exam\na\n",
        "exam,label\na,1\n",
        *(f"exam,{name}\na,1\n" for name in RESERVED_NAMES),
        "exam,a,a\n1,2,3\n",
        "exam,a,\n1,2,3\n",
        "p1,DCM\np2,NOR\np3,DCM\n",
        "p1,3\np2,4\n",
        "",
        "exam,height,sex\np1,1,75,0\n",
        "exam,sex\np1,0\n,1\n",
        # an open quote would swallow all rows that follow
        'exam,sex,age\np1,"0,40\np2,1,50\n',
    ],
)
def test_class_tables_that_cannot_be_used(tmp_path, content):
    (tmp_path / "c.csv").write_text(content)
    with pytest.raises(InputError, match=r"c\.csv"):
        read_classes(tmp_path / "c.csv")


def test_numbers_in_columns_are_numbers(tmp_path):
    (tmp_path / "c.csv").write_text("id,volume,grade,name\n01,3.5,2,x\n02,4,1,7\n")
    assert read_classes(tmp_path / "c.csv") == (
        {
            "01": {"volume": 3.5, "grade": 2, "name": "x"},
            "02": {"volume": 4.0, "grade": 1, "name": "7"},
        },
        [],
    )


def test_a_text_among_numbers_is_said(tmp_path):
    (tmp_path / "c.csv").write_text("id,risk,group\na,0;,1\nb,1,x\nc,,2\nd,2.5,y\n")
    rows, problems = read_classes(tmp_path / "c.csv")
    assert rows["a"] == {"risk": "0;", "group": "1"} and rows["d"] == {"risk": "2.5", "group": "y"}
    assert problems == [("a", finding("table-row", kind="text", column="risk", value="0;"))]
    (tmp_path / "c.csv").write_text("id,risk\na,5_0\nb,1\nc,2\n")
    assert [reason["value"] for _, reason in read_classes(tmp_path / "c.csv")[1]] == ["5_0"]
    (tmp_path / "c.csv").write_text('id,height\na,"172,5"\nb,"180,0"\n')
    problem = ("a", finding("table-row", kind="text", column="height", value="172,5"))
    assert read_classes(tmp_path / "c.csv")[1] == [problem]
    # empty cells are not rows with a number
    (tmp_path / "c.csv").write_text("id,risk\na,low\nb,1\nc,\nd,\n")
    assert read_classes(tmp_path / "c.csv")[1] == []


def test_a_running_number_is_not_the_name_of_an_exam(tmp_path):
    for number in (7, 8, 9):
        write_usual_exam(
            tmp_path / f"{number:03d}",
            PatientID=f"P00{number}",
            StudyInstanceUID=f"1.{number}",
            FrameOfReferenceUID=f"2.{number}",
        )
    table = tmp_path / "c.csv"
    table.write_text("no,PatientID,acl\n1,P007,0\n9,P008,1\n7,P007,1\n")
    result = index_folder(tmp_path, classes=table)
    assert result.unmatched == [(name, finding("table-row", kind="elsewhere", column="PatientID")) for name in "19"]
    assert {item["image"].split("/")[-3]: item["acl"] for item in items_of(result) if "acl" in item} == {"007": 1}
    # a class is not a name, even if exams are called 0 and 1
    (tmp_path / "007").rename(tmp_path / "1")
    table.write_text("exam,acl\nP007,0\nP008,1\nP009,1\n")
    assert index_folder(tmp_path, classes=table).unmatched == []


def test_a_row_that_labels_several_exams_is_said(tree, tmp_path):
    table = tmp_path / "c.csv"
    table.write_text("exam,group\nP-2,NOR\n")
    assert "names-several" not in codes(index_folder(tree, classes=table).warnings)
    for number in (8, 9):
        write_usual_exam(
            tree / f"case{number}", PatientID="P-2", StudyInstanceUID=f"1.{number}", FrameOfReferenceUID=f"2.{number}"
        )
    assert finding("names-several", count=1, names=["P-2"]) in index_folder(tree, classes=table).warnings


def test_exams_without_a_class_are_counted(tree, tmp_path):
    table = tmp_path / "c.csv"
    for name, said in (("case7", 0), ("another", 1)):
        table.write_text(f"exam,group\n{name},DCM\n")
        assert codes(index_folder(tree, classes=table).warnings).count("exams-without-class") == said


@pytest.mark.parametrize(
    "content", ["- 1\n", "1: 3\n1: 2\n", "a: 1\n", "1: [\n", "1: x\n", "{}\n", "true: 1\n", "1: 256\n", "1: -1\n"]
)
def test_label_maps_that_cannot_be_used(tmp_path, content):
    (tmp_path / "m.yml").write_text(content)
    with pytest.raises(InputError, match=r"m\.yml"):
        read_label_map(tmp_path / "m.yml")


@pytest.mark.parametrize("label_map", [{}, {"1": 3}, {1: 3.0}, {1: 256}])
def test_label_maps_from_python_that_cannot_be_used(label_map):
    with pytest.raises(InputError, match="^label_map: "):
        read_label_map(label_map)


def test_a_folder_of_labels_that_has_none(tree, tmp_path):
    with pytest.raises(InputError):
        index_folder(tree, labels_dir=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError):
        index_folder(tree, labels_dir=tmp_path / "empty")


@pytest.mark.parametrize("name", ["Segmentation.seg.nrrd", "mask.nrrd"])
def test_masks_of_another_form_are_refused_with_what_to_do(name, tmp_path):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=re.escape(str(OTHER_FORMAT))):
        mask_files(tmp_path)


def test_every_file_in_the_folder_of_masks_is_used_or_named_with_the_reason(tree, tmp_path):
    plain = index_folder(tree)
    affine, shape = stack_affine(plain)
    (exam,) = plain.datalist["exams"]
    folder = tmp_path / "labels"
    for name in (f"a/{exam}_frame01", f"b/{exam}_ed", f"c/{exam}_frame02"):
        write_mask(folder / f"{name}.nii.gz", affine, shape)
    for name in ("a.seg.nrrd", "b.seg.nrrd", "c.mha", "picture.png", "notes", "masks.zip", ".DS_Store", "._a.nii.gz"):
        (folder / name).write_text("some text")
    shutil.copy(next(tree.rglob("*.dcm")), folder / "heart_seg")
    result = index_folder(tree, labels_dir=folder)
    assert {Path(item["label"]).parent.name for item in labelled(result)} == {"b", "c"}
    assert result.unmatched == [
        (f"{exam}_frame01.nii.gz", finding("mask-not-used", kind="other", by=f"{exam}_ed.nii.gz")),
        ("a.seg.nrrd and 2 more", OTHER_FORMAT),
        ("heart_seg", DICOM_MASK),
        ("masks.zip", ARCHIVE),
        ("notes and 1 more", NO_MASK),
    ]
    # the images themselves are no masks that were not used, nor those that `segment` writes next to its masks
    for name in ("_frame01_image", "_frame01_mask"):
        write_mask(tmp_path / f"out/{exam}{name}.nii.gz", affine, shape)
    assert index_folder(tree, labels_dir=tmp_path / "out").unmatched == []
    write_mask(tree / f"{exam}_frame01.nii.gz", affine, shape)
    (tree.parent / "link").symlink_to(tree, target_is_directory=True)
    for named in (tree, tree.parent / "link"):
        assert index_folder(tree, labels_dir=named).unmatched == []
    for file in folder.rglob("*.nii.gz"):
        file.unlink()
    with pytest.raises(InputError, match=re.escape(str(DICOM_MASK))):
        index_folder(tree, labels_dir=folder)


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


def test_two_masks_of_a_volume(tmp_path):
    for name in ("images/a.nii.gz", "labels/1/a_seg.nii.gz", "labels/2/a_mask.nii.gz"):
        write_mask(tmp_path / name, np.eye(4), (6, 5, 4))
    result = index_folder(tmp_path / "images", labels_dir=tmp_path / "labels")
    assert result.unmatched == [("a_seg.nii.gz", finding("mask-not-used", kind="other", by="a_mask.nii.gz"))]


def test_a_2d_mask_is_one_slice(tree, tmp_path):
    affine, shape = stack_affine(index_folder(tree))
    image = nibabel.Nifti1Image(np.zeros(shape[:2], dtype=np.uint8), affine)
    nibabel.save(image, tmp_path / "m.nii.gz")
    slices = [Slice(0.0, affine, [], ("", 0, 0, ()), "1")]
    assert match_mask(*read_grid(tmp_path / "m.nii.gz"), slices, shape[:2])[0] == [(0, 0)]


def test_numbers_that_are_not_finite_are_left_out_and_said(tmp_path):
    (tmp_path / "c.csv").write_text("exam,volume,grade\na,nan,1\nb,2.5,1\nc,1e999,2\n")
    rows, problems = read_classes(tmp_path / "c.csv")
    assert rows == {"a": {"grade": 1}, "b": {"volume": 2.5, "grade": 1}, "c": {"grade": 2}}
    assert [name for name, reason in problems if reason.code == "table-row"] == ["a", "c"]


def test_rows_that_disagree_are_left_out_and_said(tree, tmp_path):
    (exam,) = index_folder(tree).datalist["exams"]
    table = tmp_path / "c.csv"
    table.write_text("exam,group,grade\ncase7,DCM,1\ncase7,NOR,1\n")
    result = index_folder(tree, classes=table)
    assert {(item.get("group"), item["grade"]) for item in items_of(result)} == {(None, 1)}
    assert result.unmatched == [("case7", finding("rows-disagree", columns=["group"]))]
    table.write_text("exam,group,grade\ncase7,DCM,1\nP-1,DCM,2\n")
    result = index_folder(tree, classes=table)
    assert {(item["group"], item.get("grade")) for item in items_of(result)} == {("DCM", None)}
    assert result.unmatched == [(exam, finding("rows-disagree", columns=["grade"]))]
    table.write_text("exam,group\ncase7,DCM\ncase7,DCM\n")
    assert index_folder(tree, classes=table).unmatched == []


def test_a_mask_whose_affine_is_not_finite_fits_nothing(tree, tmp_path):
    affine, shape = stack_affine(index_folder(tree))
    affine[0, 0] = np.nan
    header = nibabel.Nifti1Image(np.zeros(shape, dtype=np.uint8), None)
    header.header.set_sform(affine, code=1)
    (tmp_path / "labels").mkdir()
    nibabel.save(header, tmp_path / "labels" / "case7_ed.nii.gz")
    result = index_folder(tree, labels_dir=tmp_path / "labels")
    assert [name for name, _ in result.unmatched] == ["case7_ed.nii.gz"]


def test_masks_of_4ch_slices(tree, tmp_path):
    """The folder has masks of both views: those of the short axis do not lie on the 4ch slice, and are listed."""
    plain = index_folder(tree, view="4ch")
    affine = np.array(items_of(plain)[0]["affine"])
    shape = (*next(iter(plain.datalist["exams"].values()))["stacks"]["4ch"]["matrix"], 1)
    short, short_shape = stack_affine(index_folder(tree))
    write_mask(tmp_path / "labels" / "case7_frame03.nii.gz", affine, shape)
    write_mask(tmp_path / "labels" / "case7_sax" / "case7_frame02.nii.gz", short, short_shape)
    result = index_folder(tree, view="4ch", labels_dir=tmp_path / "labels")
    assert [(item["phase"], item["slice"], item["label_frame"]) for item in labelled(result)] == [
        (round(2 / 6, 6), 0, 0)
    ]
    assert [name for name, _ in result.unmatched] == ["case7_frame02.nii.gz"]


@pytest.mark.parametrize("stack", ["sax", None])
def test_views_that_a_person_names_are_those_of_4ch(tmp_path, stack):
    """This works with and without the short axis: a 4ch view that the user names needs no recognition."""
    folder = write_usual_exam(tmp_path / "data" / "case7")
    place = next(folder.glob("*4ch*")).name
    if stack is None:
        for series in folder.glob("sax*"):
            shutil.rmtree(series)
    for text, expected in ((f"case7: {{4ch: {place}}}", True), ("case7: {4ch: none}", False)):
        (tmp_path / "views.yml").write_text(text)
        if not expected:
            with pytest.raises(InputError):
                index_folder(tmp_path / "data", view="4ch", views=tmp_path / "views.yml")
            continue
        items = items_of(index_folder(tmp_path / "data", view="4ch", views=tmp_path / "views.yml"))
        assert len(items) == 6 and all(place in item["image"] for item in items)
        assert all(("sax" in item["planes"]) == (stack is not None) for item in items)


def test_a_mask_is_not_opened_again_for_every_exam(tree, tmp_path, monkeypatch):
    affine, shape = stack_affine(index_folder(tree))
    mask = write_mask(tmp_path / "labels" / "unnamed_ed.nii.gz", affine, shape)
    load, opened, counts = nibabel.load, [], []
    monkeypatch.setattr(nibabel, "load", lambda path, **options: opened.append(path) or load(path, **options))
    for number in (1, 2, 3):
        result = index_folder(tree, labels_dir=mask.parent)
        counts.append(len(opened))
        assert len(result.datalist["exams"]) == number and set(map(Path, opened)) == {mask}
        assert len({*counts}) == 1
        opened.clear()
        other = dict.fromkeys(("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"), f"1.2.{number}")
        write_usual_exam(tree / str(number), slices=3, spacing=12.0, **other)


def test_a_folder_of_many_masks_is_listed_once(tmp_path, monkeypatch):
    masks = [
        write_mask(tmp_path / f"{number}_mask.nii.gz", np.eye(4), (2, 2, 2), predicted=True) for number in range(9)
    ]
    (tmp_path / "3_corrected.seg.nrrd").touch()
    write_mask(tmp_path / "4_mask_corrected.nii.gz", np.eye(4), (2, 2, 2))
    glob, listed = Path.glob, []
    monkeypatch.setattr(Path, "glob", lambda folder, *pattern: listed.append(folder) or glob(folder, *pattern))
    kept, left_out = not_corrected_elsewhere(masks)
    assert listed == [tmp_path]
    assert [path for path in masks if path not in kept] == [masks[3], masks[4]]
    assert sorted(name for name, _ in left_out) == ["3_mask.nii.gz", "4_mask.nii.gz"]


@pytest.mark.parametrize(("anatomy", "kind"), [("volume", "images"), ("any", "exams")])
def test_masks_of_two_hospitals_with_the_same_file_names(anatomy, kind, tmp_path):
    """A mask never labels the image of the other hospital."""
    voxels = np.random.default_rng(0).integers(0, 900, (12, 12, 12)).astype(np.int16)
    for home in "AB":
        folder = tmp_path / "images" / home
        folder.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / "pat1.nii.gz")
    right = write_mask(tmp_path / "masks/A/pat1.nii.gz", np.eye(4), voxels.shape, [(5, 5, 5)])
    options = {"anatomy": anatomy, "labels_dir": tmp_path / "masks"}
    found = labelled(index_folder(tmp_path / "images", **options))
    assert {(Path(item["image"]).parent.name, item["label"]) for item in found} == {("A", str(right))}
    right.rename(tmp_path / "masks/pat1.nii.gz")
    result = index_folder(tmp_path / "images", **options)
    assert labelled(result) == []
    ((name, why),) = result.unmatched
    assert (name, why.code, why["kind"], why["count"]) == ("pat1.nii.gz", "name-ambiguous", kind, 2)


@pytest.mark.parametrize("mask", ["P-7_ed", "both_ed", "anything_ed"])
def test_a_mask_that_fits_two_exams_of_a_patient_labels_neither(tmp_path, mask):
    """Baseline and follow-up on one grid; the mask is named by the patient, by the folder of both, or by nobody."""
    both = tmp_path / "data/both"
    for number in "12":
        uids = {
            "StudyInstanceUID": f"1.2.{number}",
            "FrameOfReferenceUID": f"1.3.{number}",
            "StudyDate": f"2025010{number}",
        }
        write_usual_exam(both / f"study{number}", PatientID="P-7", **uids)
    plain = index_folder(tmp_path / "data")
    first, second = plain.datalist["exams"]
    affine = stack_affine(plain)[0]
    written = write_mask(tmp_path / f"labels/{mask}.nii.gz", affine, (24, 20, 5))
    result = index_folder(tmp_path / "data", labels_dir=tmp_path / "labels")
    assert labelled(result) == [] and not result.by_grid
    ((name, why),) = result.unmatched
    assert (name, why["names"]) == (written.name, (first, second))
    # the hash of an exam names it, and so does its folder
    written.rename(written.with_name(f"{second}_ed.nii.gz"))
    assert {item["exam"] for item in labelled(index_folder(tmp_path / "data", labels_dir=tmp_path / "labels"))} == {
        second
    }
    (tmp_path / "labels/study1").mkdir()
    written.with_name(f"{second}_ed.nii.gz").rename(tmp_path / f"labels/study1/{mask}.nii.gz")
    found = labelled(index_folder(tmp_path / "data", labels_dir=tmp_path / "labels"))
    assert {Path(item["image"]).parent.parent.name for item in found} == {"study1"}
