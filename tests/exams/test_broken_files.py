"""Test that broken files are reported with the exam in whose folders they lie."""

import os

import pytest
from planewise.exams import find_stacks, index_folder
from planewise.findings import finding, from_record
from pydicom.uid import generate_uid

from tests.exams.conftest import write_usual_exam
from tests.exams.told import flags

TRUNCATED = 700


def cut(files, size=TRUNCATED):
    count = 0
    for file in files:
        os.truncate(file, size)
        count += 1
    return count


@pytest.fixture
def archive(tmp_path):
    """Three exams, each in a folder of its patient."""
    for number in range(1, 4):
        own = {"StudyInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid(), "PatientID": f"P{number}"}
        write_usual_exam(tmp_path / f"archive/p{number}/study", **own)
    return tmp_path / "archive"


def remarks(folder, number):
    """The flags of an exam's stack and the findings of the index."""
    stacks = {stack["image"][0]["image"].split(f"{folder}/")[1][:2]: flags(stack) for stack in find_stacks(folder)}
    result = index_folder(folder)
    names = {path.relative_to(folder).parts[0]: name for name, (path, _) in result.places.items()}
    return stacks[f"p{number}"], [*map(from_record, result.datalist["exams"][names[f"p{number}"]]["left_out"])]


@pytest.mark.parametrize("size", [TRUNCATED, 0])
def test_broken_files_of_a_series_are_a_remark_on_their_exam(archive, size):
    """The series of two slices are lost, and one exam's 2ch: its images may belong to the short axis."""
    count = cut(
        file for rank in (1, 5) for file in (archive / f"p2/study/sax_{rank}").iterdir() if "0006" not in file.name
    )
    cut((archive / "p3/study/2ch_9").iterdir(), size)
    said = finding("broken-files", count=count)
    stack, notes = remarks(archive, 2)
    assert stack == [said] and said in notes
    stack, notes = remarks(archive, 3)
    assert stack == [finding("broken-files", count=6)]
    assert remarks(archive, 1)[0] == []
