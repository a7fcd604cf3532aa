"""Test that inference accepts a photograph, a folder of photographs, or a datalist."""

import json

import numpy as np
import pytest
from PIL import Image
from planewise.data import find_photographs
from planewise.errors import InputError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "eyes").mkdir()
    (tmp_path / "eyes/deep").mkdir()
    for name in ("b.png", "a.jpeg", "deep/c.png", ".hidden.png"):
        Image.fromarray(np.full((80, 80, 3), 90, dtype=np.uint8)).save(tmp_path / "eyes" / name)
    (tmp_path / "eyes/text.png").write_text("none")
    (tmp_path / "eyes/._b.png").write_text("none")
    (tmp_path / "eyes/notes.txt").write_text("none")
    return tmp_path / "eyes"


def test_what_is_found(folder):
    assert [item["image"] for item in find_photographs(folder)] == [
        str(folder / n) for n in ("a.jpeg", "b.png", "deep/c.png")
    ]
    assert len(find_photographs(folder, num_exams=2)) == 2
    assert find_photographs(folder / "b.png") == [{"image": str(folder / "b.png")}]
    listed = folder / "list.json"
    listed.write_text(json.dumps({"test": [{"image": "b.png", "grade": 2}]}))
    assert find_photographs(listed) == [{"image": str(folder / "b.png"), "grade": 2}]
    with pytest.raises(InputError, match="section validation .* is empty"):
        find_photographs(listed, "validation")


def test_what_is_not(folder, tmp_path):
    with pytest.raises(InputError, match="there is no"):
        find_photographs(tmp_path / "absent")
    for name in ("a.jpeg", "b.png", "deep/c.png"):
        (folder / name).unlink()
    with pytest.raises(InputError, match="neither PNG nor JPEG, despite its name"):
        find_photographs(folder)
    for name in ("b.png", "b.jpg"):
        Image.fromarray(np.full((80, 80, 3), 90, dtype=np.uint8)).save(folder / name)
    with pytest.raises(InputError, match="2 inputs share the name b"):
        find_photographs(folder)
