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
from planewise.exams.tables import read_classes, read_label_map
from planewise.files.masks import mark_predicted
from planewise.files.nifti import grid_of_slices, write_nifti
from planewise.findings import finding

from tests.exams.conftest import write_usual_exam
from tests.exams.told import codes


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
        (lambda image: image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]])), "shape"),
    ],
)
def test_a_networks_mask_does_not_take_the_place_of_a_corrected_one_that_does_not_fit(tree, tmp_path, change, kind):
    plain = index_folder(tree)
    affine, shape = stack_affine(plain)
    name = f"{next(iter(plain.datalist['exams']))}_phase33_mask"
    file = write_mask(tmp_path / "labels" / f"{name}.nii.gz", affine, shape, predicted=True)
    nibabel.save(change(nibabel.load(file)), tmp_path / "labels" / f"{name}_corrected.nii.gz")
    result = index_folder(tree, labels_dir=tmp_path / "labels")
    assert labelled(result) == []
    said = dict(result.unmatched)
    why = said[f"{name}_corrected.nii.gz"]
    assert (why.code, why["kind"]) == ("grid-differs", kind)
    assert said[file.name]["kind"] == "corrected"


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
    assert result.unmatched == [] and "masks-note" not in codes(result.warnings)


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


@pytest.mark.parametrize(
    "content", ["- 1\n", "1: 3\n1: 2\n", "a: 1\n", "1: [\n", "1: x\n", "{}\n", "true: 1\n", "1: 256\n", "1: -1\n"]
)
def test_label_maps_that_cannot_be_used(tmp_path, content):
    (tmp_path / "m.yml").write_text(content)
    with pytest.raises(InputError, match=r"m\.yml"):
        read_label_map(tmp_path / "m.yml")


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


def test_rows_that_disagree_are_left_out_and_said(tree, tmp_path):
    (exam,) = index_folder(tree).datalist["exams"]
    table = tmp_path / "c.csv"
    table.write_text("exam,group,grade\ncase7,DCM,1\ncase7,NOR,1\n")
    result = index_folder(tree, classes=table)
    assert {(item.get("group"), item["grade"]) for item in items_of(result)} == {(None, 1)}
    assert result.unmatched == [("case7", finding("table-unusable", columns=["group"], kind="rows"))]
    table.write_text("exam,group,grade\ncase7,DCM,1\nP-1,DCM,2\n")
    result = index_folder(tree, classes=table)
    assert {(item["group"], item.get("grade")) for item in items_of(result)} == {("DCM", None)}
    assert result.unmatched == [(exam, finding("table-unusable", columns=["grade"], kind="rows"))]
    table.write_text("exam,group\ncase7,DCM\ncase7,DCM\n")
    assert index_folder(tree, classes=table).unmatched == []


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
