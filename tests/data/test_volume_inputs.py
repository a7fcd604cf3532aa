"""What a path given by the user is taken for."""

from __future__ import annotations

import json

import pytest
from planewise.data import find_volumes
from planewise.errors import InputError
from planewise.preprocessing import LoadVolumed

from .conftest import write_volume

CHANNELS = ("t1", "flair")


@pytest.fixture
def cases(tmp_path):
    """Two cases of two channels and a mask, each in a folder of its own; and one of macOS' hidden files."""
    for number, case in enumerate(("a_1", "b_1")):
        (tmp_path / case).mkdir()
        for channel in (*CHANNELS, "seg"):
            write_volume(tmp_path / case / f"{case}_{channel}.nii.gz", number)
    (tmp_path / "a_1" / "._a_1_t1.nii.gz").write_bytes(b"x")
    return tmp_path


def test_a_folder_of_cases(cases):
    found = find_volumes(cases, channels=CHANNELS)
    assert [[path.rpartition("/")[2] for path in item["image"]] for item in found] == [
        ["a_1_t1.nii.gz", "a_1_flair.nii.gz"],
        ["b_1_t1.nii.gz", "b_1_flair.nii.gz"],
    ]
    assert len(find_volumes(cases, channels=CHANNELS, num_exams=1)) == 1
    assert len(find_volumes(cases / "b_1", channels=CHANNELS)) == 1
    image = LoadVolumed("image", channels=2)(found[0])["image"]
    assert image.shape == (2, 12, 12, 4) and image.meta["filename_or_obj"] == "a_1.nii.gz"


def test_one_file_and_a_folder_of_files(tmp_path):
    file = write_volume(tmp_path / "one.nii.gz", 0)
    assert find_volumes(file) == [{"image": str(file)}]
    write_volume(tmp_path / "two.nii.gz", 1)
    write_volume(tmp_path / "two_seg.nii.gz", 1)
    assert [item["image"].rpartition("/")[2] for item in find_volumes(tmp_path)] == ["one.nii.gz", "two.nii.gz"]


def test_a_datalist(tmp_path):
    write_volume(tmp_path / "one.nii.gz", 0)
    datalist = tmp_path / "list.json"
    datalist.write_text(json.dumps({"test": [{"image": ["one.nii.gz", "one.nii.gz"], "exam": "e"}], "training": []}))
    (item,) = find_volumes(datalist)
    assert item == {"image": [str(tmp_path / "one.nii.gz")] * 2, "exam": "e"}
    with pytest.raises(InputError, match="section training"):
        find_volumes(datalist, "training")


def test_nothing_to_use(tmp_path):
    with pytest.raises(InputError, match="there is no"):
        find_volumes(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no NIfTI file"):
        find_volumes(tmp_path)
    write_volume(tmp_path / "a_t1.nii.gz", 0)
    with pytest.raises(InputError, match="without its flair"):
        find_volumes(tmp_path, channels=CHANNELS)
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        write_volume(tmp_path / folder / "b.nii.gz", 0)
    with pytest.raises(InputError, match="called b"):
        find_volumes(tmp_path)
