"""Test how inference interprets a path that the user gives."""

from __future__ import annotations

import json

import numpy as np
import pytest
from planewise.data import find_volumes
from planewise.errors import InputError
from planewise.exams import index_folder
from planewise.exams.dicom import read_frames
from planewise.preprocessing import LoadVolumed
from pydicom.uid import EnhancedMRImageStorage

from tests.exams.files import write_ct, write_enhanced_ct

from .conftest import write_volume

CHANNELS = ("t1", "flair")


@pytest.fixture
def cases(tmp_path):
    """Two cases of two channels and a mask, each in its own folder, and one of macOS's hidden files."""
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


def test_cases_with_the_same_name_are_refused(tmp_path):
    """The mask of one patient would replace that of another."""
    for folder in ("a", "b", "c/a"):
        (tmp_path / folder).mkdir(parents=True)
        for channel in CHANNELS:
            write_volume(tmp_path / folder / f"{channel}.nii.gz", 0)
    found = [
        LoadVolumed("image")(item)["image"].meta["filename_or_obj"]
        for item in find_volumes(tmp_path / "c", channels=CHANNELS)
    ]
    assert found == ["a.nii.gz"]
    with pytest.raises(InputError, match="2 inputs share the name a .*index FOLDER --anatomy volume .*--section all"):
        find_volumes(tmp_path, channels=CHANNELS)


def test_incomplete_cases_are_named(cases, caplog):
    (cases / "a_1" / "a_1_flair.nii.gz").unlink()
    assert len(find_volumes(cases, channels=CHANNELS)) == 1
    assert caplog.messages == ["left out: case without its flair image (1: a_1/a_1_t1.nii.gz)"]


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


def test_a_folder_of_dicom_series(tmp_path):
    values = np.arange(6 * 5 * 4).reshape(6, 5, 4)
    write_ct(tmp_path / "one", values)
    (item,) = find_volumes(tmp_path / "one")
    image = LoadVolumed("image", channels=1)(item)["image"]
    assert np.array_equal(image[0], values) and image.meta["filename_or_obj"] == f"{item['exam']}.nii.gz"
    write_ct(tmp_path / "other", values[..., :3].repeat(2, axis=2), SeriesDescription="other")
    found = find_volumes(tmp_path)
    assert [len(item["image"]) for item in found] == [6, 4]
    # MONAI Label passes only a folder
    assert LoadVolumed("image", channels=1)({"image": str(tmp_path)})["image"].shape == (1, 6, 5, 6)
    assert {item["exam"] for item in found} == set(index_folder(tmp_path, anatomy="volume").datalist["exams"])
    with pytest.raises(
        InputError, match="dcm2niix, one file for each channel.*or set --channels '\\[\\]' if each case is a"
    ):
        find_volumes(tmp_path, channels=CHANNELS)
    write_ct(tmp_path / "few" / "a", values[..., :3])
    with pytest.raises(InputError, match="no volume to use in .*no stack of 4 or more slices"):
        find_volumes(tmp_path / "few")


@pytest.mark.parametrize("rescale", [(2, -1000), [(2, -1000)] * 4])
def test_an_enhanced_ct_file(tmp_path, rescale):
    values = 2 * np.arange(6 * 5 * 4).reshape(6, 5, 4)
    write_enhanced_ct(tmp_path / "ct.dcm", values, rescale)
    (item,) = find_volumes(tmp_path)
    assert np.array_equal(LoadVolumed("image")(item)["image"][0], values)
    # ITK does not open images of one slice over time, but pydicom does
    timed = write_enhanced_ct(tmp_path / "timed.dcm", values, rescale, gap=0.0)
    assert np.array_equal(np.stack(read_frames(timed), axis=-1), values)
    two = write_enhanced_ct(tmp_path / "two.dcm", values[..., :2], rescale[:2], gap=0.0)
    assert len(read_frames(two)) == 2


def test_an_enhanced_file_whose_frames_are_scaled_apart(tmp_path):
    values, rescale = 2 * np.arange(6 * 5 * 4).reshape(6, 5, 4), [(1, -1024), (0.5, -1000), (2, -1024), (2, 0)]
    timed = write_enhanced_ct(tmp_path / "timed.dcm", values, rescale, gap=0.0)
    assert np.array_equal(np.stack(read_frames(timed), axis=-1), values)
    timed.unlink()
    # ITK opens a file of several slices, but scales all frames like the first
    mr = write_enhanced_ct(tmp_path / "mr.dcm", values, rescale, Modality="MR", SOPClassUID=EnhancedMRImageStorage)
    (item,) = find_volumes(tmp_path)
    assert np.array_equal(LoadVolumed("image")(item)["image"][0], values)
    mr.unlink()
    write_enhanced_ct(tmp_path / "ct.dcm", values, rescale)
    with pytest.raises(InputError, match="CT whose frames have different rescale slopes or intercepts"):
        find_volumes(tmp_path)


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
    with pytest.raises(InputError, match="share the name b"):
        find_volumes(tmp_path)
