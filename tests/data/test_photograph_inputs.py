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
    found = [{"image": str(folder / n), "exam": n[-5]} for n in ("b.png", "deep/c.png")]
    assert find_photographs(folder) == [{"image": str(folder / "a.jpeg"), "exam": "a"}, *found]
    assert len(find_photographs(folder, num_exams=2)) == 2
    assert find_photographs(folder / "b.png") == [{"image": str(folder / "b.png")}]
    listed = folder / "list.json"
    listed.write_text(json.dumps({"test": [{"image": "b.png", "grade": 2}]}))
    assert find_photographs(listed) == [{"image": str(folder / "b.png"), "grade": 2}]
    with pytest.raises(InputError, match="section validation .* is empty"):
        find_photographs(listed, "validation")


def test_files_that_are_left_out_are_named(folder, caplog):
    for number, mode in enumerate(["RGBA", "RGBA", "L", "L", "L", "L", "L", "L"]):
        Image.new(mode, (80, 80)).save(folder / f"{mode}{number}.png")
    Image.new("RGB", (80, 80)).save(folder / "slide.tif")
    (folder / "grades.csv").write_text("image,grade\nb,1")
    assert len(find_photographs(folder)) == 3
    assert caplog.messages == [
        "left out: 1 file, neither PNG nor JPEG, despite its name: text.png",
        "left out: 2 files, neither a photograph (.png, .jpg, .jpeg) nor a table of them (.csv): notes.txt, slide.tif",
        "left out: 2 files, photograph with opacity: it must have only red, green and blue; convert it: RGBA0.png, RGBA1.png",
        "left out: 6 files, photograph with shades of grey: it must have only red, green and blue; convert it: "
        "L2.png, L3.png, L4.png, L5.png, L6.png and 1 more",
    ]


def test_what_is_not(folder, tmp_path):
    with pytest.raises(InputError, match="there is no"):
        find_photographs(tmp_path / "absent")
    for name in ("a.jpeg", "b.png", "deep/c.png"):
        (folder / name).unlink()
    with pytest.raises(InputError, match="neither PNG nor JPEG, despite its name"):
        find_photographs(folder)
    for name in ("b.png", "b.jpg"):
        Image.fromarray(np.full((80, 80, 3), 90, dtype=np.uint8)).save(folder / name)
    with pytest.raises(
        InputError, match="2 inputs share the name b .*index FOLDER --anatomy photograph .*--section all"
    ):
        find_photographs(folder)
