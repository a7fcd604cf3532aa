"""Test that broken files are reported with the exam in whose folders they lie."""

import os
import shutil

import pytest
from planewise.exams import find_stacks, index_folder
from planewise.findings import finding, from_record
from planewise.own_exams.heart_stacks import place_of, stacks_in
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
    stacks = {stack.slices[0]["image"].split(f"{folder}/")[1][:2]: flags(stack) for stack in find_stacks(folder)}
    result = index_folder(folder)
    names = {path.relative_to(folder).parts[0]: name for name, path in result.folders.items()}
    return stacks[f"p{number}"], [*map(from_record, result.datalist["exams"][names[f"p{number}"]]["left_out"])]


@pytest.mark.parametrize("size", [TRUNCATED, 300, 0])
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


@pytest.mark.parametrize("size", [0, 100, 300, 400, TRUNCATED])
def test_an_exam_of_which_all_files_are_broken_is_left_out_with_the_reason(archive, size):
    count = cut((archive / "p2").rglob("*.dcm"), size)
    left_out = []
    assert len(find_stacks(archive, left_out=left_out)) == 2
    ((name, (why,)),) = [(stack.exam, stack.why_not) for stack in left_out]
    assert why == finding("only-broken-files", count=count)
    (left,) = stacks_in(archive)[1].items()
    assert left[0] == name and place_of(left[1].items)[0] == archive / "p2/study"
    result = index_folder(archive)
    assert result.datalist["exams"][name] == {"patient": name, "stacks": {}, "left_out": [why.record()], "section": ""}
    assert result.folders[name] == archive / "p2/study"
    assert len(result.datalist["exams"]) == 3


def test_copies_and_markers_are_no_broken_exams(archive):
    shutil.copytree(archive / "p1", archive / "p4")
    cut([archive / "p4/study/sax_1/IM-0001-0001.dcm"])
    (archive / "p5").mkdir()
    (archive / "p5/DONE").touch()
    left_out = []
    assert len(find_stacks(archive, left_out=left_out)) == 3
    assert left_out == []
