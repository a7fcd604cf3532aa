"""Test the search of a folder for images."""

import pydicom
import pytest
from planewise.errors import InputError
from planewise.exams import refusals, scan
from planewise.exams.scan import scan_folder

from tests.exams.files import write_cine


def test_everything_is_counted_once(tmp_path):
    write_cine(tmp_path / "deep" / "er" / "sax_1", [0, 0, 0], [0.1, 0.2, 1], phases=3)
    for name, content in {"notes.txt": b"x", "._a.dcm": b"x", "empty": b"", "picture.png": b"x"}.items():
        (tmp_path / name).write_bytes(content)
    for name in ("volume.nii.gz", "CASE.NII.GZ"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "._volume.nii.gz").write_bytes(b"x")
    seen = []
    found = scan_folder(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert len(found.frames) == 3
    assert {path.name for path in found.nifti} == {"volume.nii.gz", "CASE.NII.GZ"}
    counts = {reason: len(paths) for reason, paths in found.skipped.items()}
    assert counts == {refusals.NOT_DICOM: 2, refusals.HIDDEN: 2, refusals.EMPTY: 1}
    assert found.files == 10
    assert seen[-1] == (10, 10)


def test_images_whose_header_is_damaged_or_wrong_are_broken(tmp_path):
    """A segmentation must not lose such a slice without a word."""
    paths = write_cine(tmp_path / "sax_1", [0, 0, 0], [0.1, 0.2, 1], phases=4)
    wrong = [{"ImagePositionPatient": ["0", "0", "nan"]}, {"PixelSpacing": [0, 0]}, {"RescaleSlope": 0}]
    for path, tags in zip(paths, wrong, strict=False):
        dataset = pydicom.dcmread(path)
        with pydicom.config.disable_value_validation():
            for keyword, value in tags.items():
                setattr(dataset, keyword, value)
            dataset.save_as(path)
    found = scan_folder(tmp_path)
    assert len(found.skipped) == 3 and sorted(found.broken) == sorted(map(str, paths[:3]))


def test_processes_find_what_one_process_finds(tmp_path, monkeypatch):
    write_cine(tmp_path / "a", [0, 0, 0], [0.1, 0.2, 1], phases=4)
    (tmp_path / "a" / "broken.dcm").write_bytes(b"\x00" * 128 + b"DICM" + b"\x08\x00")
    monkeypatch.setattr(scan, "_SERIAL_FILES", 0)
    monkeypatch.setattr(scan, "_CHUNK", 2)
    alone, together = scan_folder(tmp_path, workers=1), scan_folder(tmp_path, workers=2)
    assert alone.frames == together.frames
    assert alone.skipped == together.skipped
    assert len(alone.frames) == 4


def test_a_folder_that_is_none(tmp_path):
    for nowhere in (tmp_path / "nowhere", "~nobody-has-this-name/exams", tmp_path / ("x" * 5000)):
        with pytest.raises(InputError, match="does not exist"):
            scan_folder(nowhere)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        scan_folder(tmp_path / "file")
