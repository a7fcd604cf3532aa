"""Test how the inputs of inference are found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.errors import InputError
from planewise.exams import LoadCased, find_inputs, find_volumes, index_folder
from planewise.files.arrays import read_frames
from planewise.findings import finding
from planewise.preprocessing import LoadStackd, LoadVolumed
from pydicom.uid import EnhancedMRImageStorage

from tests.data.conftest import write_volume
from tests.exams.files import write_ct, write_enhanced_ct

CHANNELS = ("t1", "flair")


def test_masks_are_no_inputs(tmp_path):
    """This holds whatever their names are; 3D Slicer exports Segmentation.nii.gz."""
    for name in ("a.nii.gz", "a_seg.nii.gz", "a-label.nii.gz", "x.npy"):
        (tmp_path / name).touch()
    assert [Path(item["image"]).name for item in find_inputs(tmp_path)] == ["a.nii.gz", "x.npy"]
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/Segmentation.nii.gz").touch()
    with pytest.raises(InputError, match=r"\(Segmentation.nii.gz\)"):
        find_inputs(tmp_path / "masks")
    (tmp_path / "masks/Volume.nii.gz").touch()
    assert [Path(item["image"]).name for item in find_inputs(tmp_path / "masks")] == ["Volume.nii.gz"]


def volume(path, values):
    """A file whose voxels repeat some values."""
    voxels = np.resize(np.asarray(values), (6, 5, 4))
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), np.eye(4)), path)
    return path


@pytest.mark.parametrize("find", [find_inputs, find_volumes])
def test_a_mask_with_the_name_of_an_image_is_refused_by_its_values(find, tmp_path, caplog):
    mask = volume(tmp_path / "a.nii.gz", [0, 0, 1, 2, 3])
    for path in (mask, tmp_path):
        with pytest.raises(InputError, match="mask"):
            find(path)
    image = volume(tmp_path / "b.nii.gz", range(60))
    assert [item["image"] for item in find(tmp_path)] == [str(image)]
    assert "a.nii.gz" in caplog.text


def test_slices_of_a_datalist_come_in_their_order(tmp_path):
    """This holds whatever the order of the items: slices are sorted by rank, phases by time."""
    items = [
        {
            "image": f"{rank}_{phase}.dcm",
            "exam": "a",
            "stack": "sax",
            "slice": rank,
            "phase": phase / 3,
            "affine": np.eye(4).tolist(),
        }
        for rank in (2, 0, 1)
        for phase in (1, 2, 0)
    ]
    (tmp_path / "list.json").write_text(json.dumps({"test": items}))

    def names(item) -> list[str]:
        return [Path(entry["image"]).stem for entry in item["image"]]

    (first,) = find_inputs(tmp_path / "list.json")
    assert names(first) == ["0_0", "1_0", "2_0"]
    found = find_inputs(tmp_path / "list.json", phases="all")
    assert [names(item) for item in found] == [[f"{rank}_{phase}" for rank in range(3)] for phase in range(3)]
    assert [item["phase"] for item in found] == ["phase00", "phase33", "phase67"]
    # a slice that lacks a phase contributes its nearest one in the cycle: the last is as near to the first as the second is
    for lost, number, nearest in (("1_2", 2, ["0_2", "1_1", "2_2"]), ("0_0", 0, ["0_2", "1_0", "2_0"])):
        left = [item for item in items if item["image"] != f"{lost}.dcm"]
        (tmp_path / "list.json").write_text(json.dumps({"test": left}))
        found = find_inputs(tmp_path / "list.json", phases="all")
        assert len(found) == 3 and names(found[number]) == nearest


@pytest.mark.parametrize("find", [find_inputs, find_volumes])
def test_a_number_of_exams_counts_whole_exams(find, tmp_path, caplog):
    """All stacks and phases of an exam are used, wherever they are in the list."""
    place = {"stack": "sax", "slice": 0, "affine": np.eye(4).tolist()}
    frames = [
        place | {"image": f"{exam}{phase}.dcm", "exam": exam, "phase": phase / 2} for phase in (0, 1) for exam in "ab"
    ]
    volumes = [
        {"image": f"{exam}_{phase}.nii", "exam": exam, "phase": phase} for phase in ("ED", "ES") for exam in "cd"
    ]
    phases = {"phases": "all"} if find is find_inputs else {}
    caplog.set_level("INFO")
    for items, expected in ((frames, ["a", "a"]), (volumes, ["c", "c"]), (frames[:2], ["a"])):
        (tmp_path / "list.json").write_text(json.dumps({"test": items}))
        assert [item["exam"] for item in find(tmp_path / "list.json", num_exams=1, **phases)] == expected
        assert "--num_exams 1" in caplog.messages[-1]
        assert len(find(tmp_path / "list.json", num_exams=2, **phases)) == len(items)
        assert "--num_exams 2" not in caplog.text, "no exam is left out"
    for name in ("p1_frame01.nii.gz", "p1_frame12.nii.gz", "p2_ED.nii.gz"):
        volume(tmp_path / name, range(60))
    assert [Path(item["image"]).name[:2] for item in find(tmp_path, num_exams=1)] == ["p1", "p1"]


def test_the_frames_of_a_nifti_cine_are_phases(tmp_path):
    frames = np.arange(4 * 4 * 3 * 5, dtype=np.int16).reshape(4, 4, 3, 5)
    file = tmp_path / "case_4d.nii.gz"
    nibabel.save(nibabel.Nifti1Image(frames, np.eye(4)), file)
    for path in (file, tmp_path):
        found = find_inputs(path, "all")
        assert [item["phase"] for item in found] == ["phase00", "phase20", "phase40", "phase60", "phase80"]
        for number, item in enumerate(found):
            assert np.array_equal(LoadStackd("image")(item)["image"], frames[..., number])
        (first,) = find_inputs(path, "ed")
        assert np.array_equal(LoadStackd("image")(first)["image"], frames[..., 0]) and "phase" not in first


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
    assert LoadCased("image", channels=1)({"image": str(tmp_path)})["image"].shape == (1, 6, 5, 6)
    assert {item["exam"] for item in found} == set(index_folder(tmp_path, anatomy="volume").datalist["exams"])
    with pytest.raises(InputError, match=re.escape(str(finding("no-nifti")))):
        find_volumes(tmp_path, channels=CHANNELS)
    write_ct(tmp_path / "few" / "a", values[..., :3])
    with pytest.raises(InputError, match=re.escape(str(finding("no-stack", least=4, most=3)))):
        find_volumes(tmp_path / "few")


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
    with pytest.raises(InputError, match=re.escape(str(finding("dicom-unusable", kind="scale")))):
        find_volumes(tmp_path)
