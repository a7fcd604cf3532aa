"""Compare what indexing prints and writes, for every layout and defect of phantoms, with stored outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from planewise.commands import app
from planewise.phantoms import DEFECTS
from typer.testing import CliRunner

from tests.expected_text import items_in_brief, masked, readable
from tests.phantoms.effects import flawed_files


@pytest.fixture(autouse=True)
def salt(own_caches, tmp_path):
    """The hashes of the exams depend on it."""
    (tmp_path / "salt").write_text("salt of these phantoms")


#: Defects that alter different files, and can be in one exam.
OF_SINGLE_FILES = (
    "mosaic", "secondary_capture", "burnt_in", "structured_report", "not_dicom", "zero_byte", "truncated",
)  # fmt: skip


def with_defects(sound, root: Path) -> Path:
    """Write the exam once for each defect, as another patient's, to ``root/DEFECT``."""
    exam, identity, contents = sound
    alone = [(name,) for name in DEFECTS if name not in OF_SINGLE_FILES]
    for number, names in enumerate([OF_SINGLE_FILES, *alone], start=1):
        for file in flawed_files(contents, DEFECTS, names, exam, identity):
            path = root / names[0] / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            if file.dataset is not None:
                _as_of_another_patient(file.dataset, number)
            path.write_bytes(file.encode())
    return root


def _as_of_another_patient(header: pydicom.Dataset, number: int) -> None:
    header.PatientID = header.PatientName = f"P-{number}"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        if keyword in header:
            header[keyword].value = f"{header[keyword].value}.{number}"
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID


def indexed(root: Path, tmp_path: Path, *options) -> str:
    """What the command prints, and the datalist that it writes, with each exam's items in brief."""
    words = ["index", root, "-o", tmp_path / "list.json", "--workers", 1, *options]
    # wide enough for any folder's name
    outcome = CliRunner(env={"COLUMNS": "500"}).invoke(app, [str(word) for word in words])
    assert outcome.exit_code == 0, outcome.output
    content = json.loads((tmp_path / "list.json").read_text())
    for section in ("training", "validation", "test"):
        content[section] = items_in_brief(content[section])
    folders = tmp_path / "list_folders.csv"
    table = folders.read_text() if folders.exists() else ""
    return masked(f"{outcome.output}\n{readable(content)}\n{table}", ROOT=root, TMP=tmp_path)


def test_hearts_with_every_defect(sound_phantom, tmp_path, assert_expected):
    root = with_defects(sound_phantom, tmp_path / "hearts")
    assert_expected("index_heart_defects.txt", indexed(root, tmp_path))
