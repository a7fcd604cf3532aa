"""Test MRNet's volumes and label files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from planewise.data import expand_volumes
from planewise.errors import InputError
from planewise.exams import index_folder, mrnet, write_datalist
from planewise.exams.refusals import NOT_DICOM
from planewise.findings import Finding, finding
from planewise.preprocessing import LoadSliced, LoadStackd

from tests.exams.knees import write_knee, write_mrnet

SECTIONS = ("training", "validation", "test")
LABELS = ("abnormal", "acl", "meniscus")


def index(folder, **options):
    return index_folder(folder, anatomy="knee", **options)


def items_of(result) -> dict[str, dict]:
    """Maps ``train/0000`` to its items."""
    items = [item for section in SECTIONS for item in result.datalist[section]]
    return {f"{Path(item['image']).parents[1].name}/{Path(item['image']).stem}": item for item in items}


@pytest.fixture
def tree(tmp_path) -> Path:
    return write_mrnet(tmp_path / "MRNet-v1.0")


def test_sagittal_volumes_with_their_labels(tree):
    result = index(tree)
    items = items_of(result)
    assert len(items) == 16
    assert set(items["train/0002"]) == {"image", "exam", "patient", *LABELS}
    assert [items["train/0002"][label] for label in LABELS] == [1, 1, 0]
    assert [items["valid/1131"][label] for label in LABELS] == [1, 0, 1]
    assert {Path(item["image"]).parent.name for item in items.values()} == {"sagittal"}
    assert result.skipped[mrnet.OTHER_PLANE][0] == 32
    assert list(result.skipped) == [mrnet.OTHER_PLANE]
    assert result.unmatched == []
    assert set(items) == {
        f"{s}/{n:04d}" for s, numbers in (("train", range(12)), ("valid", range(1130, 1134))) for n in numbers
    }
    exams = result.datalist["exams"]
    assert all(exam["volumes"] == 1 and exam["labels"] == 0 and exam["stacks"] == {} for exam in exams.values())


def test_paths_are_relative_in_the_file(tree):
    path = write_datalist(index(tree, split=(1, 0, 0)).datalist, tree.parent / "datalist.json")
    images = [item["image"] for item in json.loads(path.read_text())["training"]]
    assert sorted(images)[0] == "MRNet-v1.0/train/sagittal/0000.npy"


def test_the_papers_split(tmp_path):
    """1250 exams: 800, 200 and 250 exams from train and valid together, with every combination of labels in the same
    proportions.
    """
    rng = np.random.default_rng(1)
    drawn = rng.choice(4, size=1250, p=[0.19, 0.37, 0.21, 0.23])
    combinations = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 0, 1)]
    volume = np.zeros((2, 4, 4), np.uint8)
    for section, numbers in (("train", range(1130)), ("valid", range(1130, 1250))):
        (tmp_path / section / "sagittal").mkdir(parents=True)
        for number in numbers:
            np.save(tmp_path / section / "sagittal" / f"{number:04d}.npy", volume)
        for index_, label in enumerate(LABELS):
            rows = [f"{number:04d},{combinations[drawn[number]][index_]}" for number in numbers]
            (tmp_path / f"{section}-{label}.csv").write_text("\n".join(rows))
    result = index(tmp_path)
    datalist = result.datalist
    assert [len(datalist[section]) for section in SECTIONS] == [800, 200, 250]
    for label in LABELS:
        shares = [np.mean([item[label] for item in datalist[section]]) for section in SECTIONS]
        assert max(shares) - min(shares) < 0.012
    sections = {Path(item["image"]).parents[1].name for item in datalist["test"]}
    assert sections == {"train", "valid"}
    assert result.datalist["exams"].keys() == {item["exam"] for section in SECTIONS for item in datalist[section]}


def test_a_part_of_the_tree(tree):
    """Indexing only ``train``, or a folder above it, gives the same exams."""
    whole = {item["image"]: item["exam"] for item in items_of(index(tree.parent)).values()}
    part = items_of(index(tree / "train"))
    assert len(part) == 12
    assert all(whole[item["image"]] == item["exam"] for item in part.values())
    assert [part["train/0003"][label] for label in LABELS] == [1, 0, 1]


def test_two_trees_have_exams_of_their_own(tmp_path):
    for name in ("a", "b"):
        write_mrnet(tmp_path / name)
    assert len(index(tmp_path).datalist["exams"]) == 32


def test_hearts_say_what_it_is(tree):
    with pytest.raises(InputError, match=f"48 x {mrnet.OTHER_ANATOMY}"):
        index_folder(tree)


def test_arrays_elsewhere_are_no_images(tree):
    (tree / "notes").mkdir()
    np.save(tree / "notes" / "0001.npy", np.zeros(3))
    np.save(tree / "train" / "sagittal" / "mean.npy", np.zeros(3))
    assert index(tree).skipped[NOT_DICOM][0] == 2


def test_beside_dicom_exams(tree):
    write_knee(tree.parent / "dicom")
    datalist = index(tree.parent, split=(1, 0, 0)).datalist
    assert len(datalist["training"]) == 16 + 15


# --- labels that are wrong ----------------------------------------------------------------------------------------------


def wrong(value: str) -> Finding:
    return finding("table-row", kind="value", column="label", value=value, wanted="0 or 1")


@pytest.mark.parametrize(
    ("change", "where", "what", "label"),
    [
        (("0002,1", "0002,2"), "0002", wrong("2"), None),
        (("0002,1", "0002,yes"), "0002", wrong("yes"), None),
        (("0002,1", "0002"), "0002", wrong(""), None),
        (("0002,1\n", ""), "0002", finding("label-missing", label="a label"), None),
        (("0002,1\n", "0002,1\n0002,0\n"), "0002", finding("rows-disagree", columns=["label"]), None),
        (("0002,1\n", "0002,1\n0999,0\n"), "0999", finding("name-unknown"), 1),
        (("0000,0\n", "exam,acl\n0000,0\n"), "exam", finding("name-unknown"), 1),
    ],
)
def test_wrong_lines_are_reported(tree, change, where, what, label):
    path = tree / "train-acl.csv"
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    result = index(tree)
    assert result.unmatched == [(f"train-acl.csv: {where}", what)]
    assert items_of(result)["train/0002"].get("acl") == label
    assert items_of(result)["train/0002"]["abnormal"] == 1


@pytest.mark.parametrize("text", ["\ufeff{}", "\n{}\n\n", "{}"])
def test_marks_of_editors_do_no_harm(tree, text):
    path = tree / "train-acl.csv"
    path.write_bytes(text.format(path.read_text()).replace("\n", "\r\n").encode())
    assert index(tree).unmatched == []


def test_numbers_that_lost_their_zeros(tree):
    path = tree / "train-acl.csv"
    path.write_text("".join(f"{int(line[:4])}{line[4:]}\n" for line in path.read_text().split()))
    result = index(tree)
    assert result.unmatched == []
    assert items_of(result)["train/0002"]["acl"] == 1


def test_a_file_that_is_lacking(tree):
    (tree / "valid-meniscus.csv").unlink()
    result = index(tree)
    assert [(name, why.code) for name, why in result.unmatched] == [("valid-meniscus.csv", "table-lacks")]
    assert "meniscus" not in items_of(result)["valid/1131"]


def test_many_names_are_counted(tree):
    (tree / "train-acl.csv").write_text("".join(f"{number},1\n" for number in range(500, 550)))
    texts = [name for name, _ in index(tree).unmatched]
    assert "train-acl.csv: 500, 501, 502, 503, 504 and 45 more" in texts


# --- files that are not volumes ----------------------------------------------------------------------------------------


def test_as_many_slices_as_rows_and_columns_say_nothing_of_the_axes(tmp_path):
    np.save(tmp_path / "0001.npy", np.zeros((16, 16, 16), np.uint8))
    assert mrnet.volume_problem(tmp_path / "0001.npy") is None


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (np.zeros((16, 16), np.uint8), "shape"),
        (np.zeros((2, 3, 16, 16), np.uint8), "shape"),
        (np.zeros((0, 16, 16), np.uint8), "shape"),
        (np.array(3), "shape"),
        (np.zeros((16, 16, 6), np.uint8), "shape"),
        (np.zeros((6, 16, 16), complex), "numbers"),
        (np.full((6, 16, 16), "a"), "numbers"),
        (np.full((6, 16, 16), None), "damaged"),
    ],
)
def test_odd_arrays_are_left_out(tree, array, kind):
    np.save(tree / "train" / "sagittal" / "0002.npy", array)
    result = index(tree)
    (reason,) = [reason for reason in result.skipped if reason != mrnet.OTHER_PLANE]
    assert (reason.code, reason["kind"]) == ("array-unusable", kind)
    assert result.skipped[reason][1].endswith("train/sagittal/0002.npy")
    assert "train/0002" not in items_of(result)
    assert len(items_of(result)) == 15


@pytest.mark.parametrize("keep", [0, 5, 100, 500])
def test_broken_files_are_left_out(tree, keep):
    path = tree / "train" / "sagittal" / "0002.npy"
    path.write_bytes(path.read_bytes()[:keep])
    reasons = [reason for reason in index(tree).skipped if reason != mrnet.OTHER_PLANE]
    assert [reason.code for reason in reasons] == ["array-unusable"]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
def test_numbers_of_any_kind_will_do(tree, kind):
    np.save(tree / "train" / "sagittal" / "0002.npy", np.ones((3, 16, 16), kind))
    assert "train/0002" in items_of(index(tree))


def test_only_its_own_tree(tmp_path):
    assert mrnet.is_volume(str(tmp_path / "train" / "sagittal" / "0000.npy"))
    for other in (
        "train/0000.npy",
        "test/sagittal/0000.npy",
        "train/oblique/0000.npy",
        "train/sagittal/0000.npz",
        "0000.npy",
    ):
        assert not mrnet.is_volume(str(tmp_path / other))


@pytest.fixture
def item(tmp_path) -> dict:
    array = np.random.default_rng(0).integers(0, 255, (3, 20, 30), dtype=np.uint8)
    np.save(tmp_path / "0007.npy", array)
    return {"image": str(tmp_path / "0007.npy"), "exam": "e", "array": array}


def test_rows_columns_and_slices_become_columns_rows_and_slices(item):
    load = LoadSliced("image", field_without_spacing=15.0)
    slices = expand_volumes([item])
    assert [entry["frame"] for entry in slices] == [0, 1, 2]
    for entry in slices:
        image = load(entry)["image"]
        assert image.shape == (1, 30, 20, 1)
        assert np.array_equal(np.asarray(image)[0, :, :, 0], item["array"][entry["frame"]].T)
        # the longer side is 15 mm
        assert np.allclose(image.affine.numpy() @ [1, 1, 0, 1], [0.5, 0.5, 0.5 * entry["frame"], 1])
    stack = LoadStackd("image", field_without_spacing=15.0)(item)["image"]
    assert stack.shape == (30, 20, 3) and np.array_equal(np.asarray(stack), item["array"].T)


@pytest.mark.parametrize("load", [LoadSliced("image"), LoadStackd("image")])
def test_without_a_field_it_is_refused(load, item):
    with pytest.raises(InputError, match="no spacing"):
        load({**item, "frame": 0})


@pytest.mark.parametrize("shape", [(20, 30), (3, 20, 30, 2)])
def test_only_volumes_are_read(shape, tmp_path):
    np.save(tmp_path / "0007.npy", np.zeros(shape, np.uint8))
    item = {"image": str(tmp_path / "0007.npy"), "exam": "e", "frame": 0}
    with pytest.raises(InputError, match="exam e, image"):
        LoadSliced("image", field_without_spacing=15.0)(item)


def test_a_broken_file_is_refused_with_its_exams_name(item, tmp_path):
    (tmp_path / "0007.npy").write_bytes(b"no array")
    for load in (LoadSliced("image", field_without_spacing=1.0), LoadStackd("image", field_without_spacing=1.0)):
        with pytest.raises(InputError, match="exam e, image"):
            load({**item, "frame": 0})
    # an empty file, as after an interrupted copy
    (tmp_path / "0007.npy").write_bytes(b"")
    with pytest.raises(InputError, match="exam e, image"):
        LoadSliced("image", field_without_spacing=1.0)({**item, "frame": 0})
    assert len(expand_volumes([item])) == 1
    # pickled objects could run code
    np.save(tmp_path / "0007.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(InputError, match="exam e, image"):
        LoadSliced("image", field_without_spacing=1.0)({**item, "frame": 0})
    assert len(expand_volumes([item])) == 1, "the broken file stays one item; loading it gives the reason"
