"""Test that folders, the user's file or the hash divide patients into sections."""

from collections import Counter
from pathlib import Path

import pytest
from planewise.errors import InputError
from planewise.exams import index_folder
from planewise.findings import finding

from tests.exams.conftest import write_usual_exam
from tests.exams.test_volumes import write, write_acdc

SECTIONS = ("training", "validation", "test")


def dsbcc(root: Path, **exams: list[int]) -> Path:
    """Write a tree in DSBCC's layout: each folder gets exams with these numbers."""
    for part, numbers in exams.items():
        for number in numbers:
            tags = {
                "PatientID": str(number),
                "StudyInstanceUID": f"1.2.{number}",
                "FrameOfReferenceUID": f"1.3.{number}",
            }
            write_usual_exam(root / part / part / str(number) / "study", slices=3, phases=2, **tags)
    return root


def exams_of(result) -> dict[str, set[str]]:
    """Maps sections to the names of the folders above ``study``, or of the patients' folders."""
    return {
        section: {
            parts[parts.index("study") - 1] if "study" in (parts := Path(item["image"]).parts) else parts[-2]
            for item in result.datalist[section]
        }
        for section in SECTIONS
    }


@pytest.fixture
def divided(tmp_path) -> Path:
    return dsbcc(tmp_path / "dsbcc", train=[1, 2], validate=[501], test=[701])


def test_dsbcc_is_divided_as_in_the_paper(divided):
    """Section 5.1.1: train and validate are for training, test is for validation and for the reported scores."""
    result = index_folder(divided)
    assert exams_of(result) == {"training": {"1", "2", "501"}, "validation": {"701"}, "test": {"701"}}
    parts = ["test", "train", "validate"]
    assert result.division == finding("sections-by", kind="folders", sets=["DSBCC"], folders=parts, rest=0)
    sections = Counter(exam["section"] for exam in result.datalist["exams"].values())
    assert sections == {"training": 3, "validation and test": 1}


def test_a_split_that_is_asked_for_is_the_hash(divided):
    """The result is the same as for these exams in a folder without a division."""
    result = index_folder(divided, split=(0.8, 0.1, 0.1))
    alone = {number: index_folder(divided / part / part / number) for part, number in (("train", "2"), ("test", "701"))}
    for number, single in alone.items():
        (section,) = [section for section in SECTIONS if single.datalist[section]]
        assert number in exams_of(result)[section]
    assert result.division == finding("sections-by", kind="hash", shares=(0.8, 0.1, 0.1), seed=0)


def acdc(root: Path, training=10, testing=4) -> Path:
    for number in range(1, training + 1):
        write_acdc(root, number, group=("DCM", "NOR")[number % 2])
    for number in range(101, 101 + testing):
        write_acdc(root, number, part="testing")
    return root


def test_acdc_keeps_its_test_patients_and_gets_validation_from_training(tmp_path):
    result = index_folder(acdc(tmp_path))
    found = exams_of(result)
    assert found["test"] == {f"patient{number}" for number in range(101, 105)}
    assert [len(found["training"]), len(found["validation"])] == [8, 2], (
        "80 patients would be divided into 64 and 16; groups keep their proportions"
    )
    groups = {(item["exam"], item["group"]) for item in result.datalist["validation"]}
    assert sorted(group for _, group in groups) == ["DCM", "NOR"]
    assert (result.division["kind"], result.division["sets"]) == ("folders", ("ACDC",))


def test_a_class_of_ones_own_is_divided_alike(tmp_path):
    """20 patients, 12 of one class and 8 of the other, are split 70 to 30."""
    rows = ["exam,amyloid"]
    for number in range(20):
        write(tmp_path / f"p{number}/p{number}_ED.nii.gz")
        rows.append(f"p{number},{'yes' if number < 12 else 'no'}")
    (tmp_path / "classes.csv").write_text("\n".join(rows))
    asked = {"classes": tmp_path / "classes.csv", "split": (0.7, 0, 0.3)}
    for seed in range(3):
        result = index_folder(tmp_path, stratify="amyloid", seed=seed, **asked)
        counted = {section: Counter(item["amyloid"] for item in result.datalist[section]) for section in SECTIONS}
        assert sum(counted["training"].values()) == 14 and not counted["validation"]
        assert abs(counted["training"]["yes"] - 0.7 * 12) < 1, "shares hold to within one patient"
        assert result.division["kind"] == "groups"
    with pytest.raises(InputError, match="amyloid"):
        index_folder(tmp_path, stratify="fat", **asked)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.csv", "exam,section\n1,test\n501,validation\ntrain/train/2,training\nnobody,test\n"),
        ("s.csv", "Exam;Section\n1;Test\n501;Validation\ntrain/train/2;TRAINING\nnobody;test\n"),
        ("s.csv", "exam,section,why\n1,test,old\n501,validation,\ntrain/train/2,training\nnobody,test\n"),
    ],
)
def test_a_list_of_sections(divided, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    result = index_folder(divided, sections=tmp_path / name, split=(0, 0, 1))
    assert exams_of(result) == {"training": {"2"}, "validation": {"501"}, "test": {"1", "701"}}
    assert result.division == finding("sections-by", kind="list-and-hash", rest=1)
    assert result.unmatched == [("nobody", finding("name-unusable", kind="unknown"))]


def test_what_contradicts_itself_is_refused(divided, tmp_path):
    (tmp_path / "s.csv").write_text("train,training\n1,test\n")
    with pytest.raises(InputError):
        index_folder(divided, sections=tmp_path / "s.csv")
