"""Test that the user's corrections overrule the recognition."""

import pytest
from planewise.errors import InputError
from planewise.exams import index_folder

from tests.exams.conftest import write_usual_exam


@pytest.fixture
def tree(tmp_path):
    write_usual_exam(tmp_path / "data" / "case7", views=("4ch", "2ch", "3ch"))
    return tmp_path / "data"


def overruled(tree, text: str) -> dict:
    path = tree.parent / "views.yml"
    path.write_text(text)
    result = index_folder(tree, views=path)
    (exam,) = result.datalist["exams"].values()
    items = [item for section in ("training", "validation", "test") for item in result.datalist[section]]
    return exam | {"planes": items[0]["planes"], "folders": _folders(exam)}


def _folders(exam):
    return {
        name: stack["items"][0]["image"].split("/")[-2] for name, stack in exam["stacks"].items() if "items" in stack
    }


@pytest.mark.parametrize("target", ["2ch_9", "2ch_9/IM-0009-0002.dcm", "2ch"])
def test_a_view_is_given_to_a_folder_a_file_or_a_stack(tree, target):
    exam = overruled(tree, f"case7:\n  4ch: {target}\n")
    assert exam["folders"] == {"4ch": "2ch_9", "3ch": "3ch_10"}
    assert exam["stacks"]["4ch"]["confidence"] == 1.0
    assert set(exam["planes"]) == {"4ch", "3ch"}
    assert {"code": "stack-remark", "kind": "chosen"} in exam["left_out"]


def test_of_a_stack_the_middle_slice_is_meant(tree):
    items = index_folder(tree, split=(1, 0, 0)).datalist["training"]
    (middle,) = {tuple(row[3] for row in item["affine"][:3]) for item in items if item["slice"] == 2}
    assert overruled(tree, "case7:\n  rv2ch: sax\n")["planes"]["rv2ch"]["origin"] == pytest.approx(middle)


def test_the_short_axis_can_be_said(tree):
    """The shorter of two stacks is used if the user says so; the views are then searched again."""
    write_usual_exam(tree / "case7" / "more", views=(), slices=4, Columns=20, Rows=24)
    exam = overruled(tree, "case7:\n  sax: more/sax_2\n")
    assert exam["stacks"]["sax"]["slices"] == 4
    assert exam["stacks"]["sax"]["confidence"] == 1.0
    assert set(exam["folders"]) == {"2ch", "3ch", "4ch"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nobody:\n  4ch: none\n", "there is no exam nobody"),
        ("case7:\n  4ch: Se99\n", "Se99 is not one of its images"),
        ("case7:\n  4ch: ../..\n", "is not one of its images"),
        ("case7:\n  5ch: Se1\n", "views are 2ch, 3ch, 4ch"),
        ("case7: 4ch\n", "write lines like"),
        ("case7:\n  4ch: loop\n", "loop is not one of its images"),
        ("- 4ch\n", "write lines like"),
        ("a: [\n", "cannot be read"),
    ],
)
def test_what_cannot_be_followed_is_said(tree, text, words):
    (tree / "case7/loop").symlink_to("loop")
    with pytest.raises(InputError, match=words):
        overruled(tree, text)
