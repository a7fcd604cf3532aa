"""Test the datalist file, which everything else reads (tools/docs/datalist.md)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planewise.data import load_datalist
from planewise.errors import InputError
from planewise.exams import dicom, index_folder, write_datalist
from planewise.exams.datalist import stack_summary
from planewise.preprocessing import LoadSliced

from tests.exams.hearts import USUAL_AXIS
from tests.exams.test_stack import NORMAL, oblique

SECTIONS = ("training", "validation", "test")
TRAIN = {"split": (1, 0, 0)}


@pytest.fixture
def written(usual_exam, tmp_path) -> Path:
    return write_datalist(index_folder(usual_exam, **TRAIN).datalist, tmp_path / "datalist.json")


def test_one_item_per_slice_and_phase(written):
    content = json.loads(written.read_text())
    assert set(content) == {"planewise", *SECTIONS, "exams"}
    assert content["planewise"] == {
        "version": 1,
        "anatomy": "cardiac",
        "stack": "sax",
        "views": ["2ch", "4ch"],
        "seed": 0,
    }
    items = content["training"]
    assert len(items) == 5 * 6
    for item in items:
        assert set(item) == {"image", "affine", "planes", "location", "exam", "patient", "stack", "slice", "phase"}
        assert item["stack"] == "sax"
        assert set(item["planes"]) == {"2ch", "4ch"}
    assert sorted({item["phase"] for item in items}) == pytest.approx([k / 6 for k in range(6)], abs=1e-6)


def test_slices_run_from_base_to_apex(written):
    items = json.loads(written.read_text())["training"]
    by_slice = {item["slice"]: item for item in items}
    depth = [np.array(by_slice[rank]["affine"])[:3, 3] @ USUAL_AXIS for rank in range(5)]
    assert (np.diff(depth) > 0).all()
    assert [by_slice[rank]["location"] for rank in range(5)] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    # the series were named from apex to base
    assert [Path(by_slice[rank]["image"]).parent.name for rank in range(5)] == [f"sax_{5 - rank}" for rank in range(5)]


def test_planes_are_those_of_the_files_headers(written):
    (content,) = [json.loads(written.read_text())]
    for view, folder in (("4ch", "4ch_8"), ("2ch", "2ch_9")):
        (frame,) = dicom.read_header(next((written.parent / "exam" / folder).iterdir()))
        affine = np.array(frame.affine)
        plane = content["training"][0]["planes"][view]
        assert abs(np.dot(plane["normal"], np.cross(affine[:3, 0], affine[:3, 1]) / 100)) == pytest.approx(1)
        assert np.dot(plane["normal"], affine[:3, 3] - plane["origin"]) == pytest.approx(0, abs=1e-6)


def test_a_frame_of_a_multi_frame_file_is_named(flawed, tmp_path):
    path = write_datalist(index_folder(flawed("enhanced"), **TRAIN).datalist, tmp_path / "datalist.json")
    items = load_datalist(path, "training")
    assert len({item["image"] for item in items}) == 1
    assert len({item["frame"] for item in items}) == len(items)
    images = [LoadSliced(keys="image")(item)["image"] for item in (items[0], items[-1])]
    assert not np.array_equal(*images)


def test_it_is_written_whole_or_not_at_all(usual_exam, tmp_path, monkeypatch):
    datalist = index_folder(usual_exam).datalist
    path = tmp_path / "datalist.json"
    path.write_text("{old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("planewise.files.atomic_write.os.replace", fail)
    with pytest.raises(InputError, match="No space left"):
        write_datalist(datalist, path)
    assert path.read_text() == "{old"
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix == ".tmp"] == []


def test_a_summary_gives_the_usual_gap():
    places = [place * NORMAL for place in (0, 8, 16, 40, 64)]
    stack = replace(oblique(places), in_plane=(3.0, 1.5), thickness=7.0)
    stack.slices[1].phases *= 4
    assert stack_summary(stack, "sax", 0.87654) == {
        "view": "sax",
        "slices": 5,
        "phases": [1, 4],
        "matrix": [5, 9],
        "confidence": 0.877,
        "spacing": 8.0,
    }
