"""Test MRNet's volumes and label files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planewise.data import expand_volumes
from planewise.exams import index_folder, mrnet
from planewise.preprocessing import LoadSliced, LoadStackd

from tests.exams.knees import write_mrnet

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
