"""Test APTOS' layout: photographs with a table of grades, photographs without, and every flaw on request."""

import csv

import numpy as np
import pytest
from PIL import Image
from planewise.phantoms import LAYOUTS, Recipe, write_exams
from planewise.phantoms.retina.population import RETINAS

SMALL = RETINAS.with_values(side=64)


def written(root, *defects, exams=2):
    recipe = Recipe("aptos", seed=1, population=SMALL, defects=defects)
    list(write_exams(recipe, root, exams))
    return recipe


def table(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_photographs_and_grades(tmp_path):
    recipe = written(tmp_path, exams=6)
    header, *rows = table(tmp_path / "train.csv")
    assert header == ["id_code", "diagnosis"]
    assert rows == [[f"{number:012d}", str(recipe.organ(number).grade)] for number in (1, 2, 4, 5)]
    assert {path.stem for path in (tmp_path / "train_images").iterdir()} == {name for name, _ in rows}
    tested = {path.stem for path in (tmp_path / "test_images").iterdir()}
    assert tested == {name for (name,) in table(tmp_path / "test.csv")[1:]} and len(tested) == 2
    with Image.open(tmp_path / "train_images/000000000001.png") as image:
        assert image.format == "PNG" and image.mode == "RGB" and image.size == (64, 48)
        assert np.array_equal(np.asarray(image), recipe.exam(1).photograph())


def test_defects(tmp_path):
    modes = {"grey": "L", "opacity": "RGBA"}
    for name in LAYOUTS["aptos"].defects:
        written(tmp_path / name, name)
        path = tmp_path / name / "train_images/000000000001.png"
        assert path.is_file() == (name != "no_file")
        if name in modes:
            assert Image.open(path).mode == modes[name]
    assert Image.open(tmp_path / "tiny/train_images/000000000001.png").size == (32, 24)
    assert not np.asarray(Image.open(tmp_path / "black/train_images/000000000001.png")).any()
    assert not (tmp_path / "empty/train_images/000000000001.png").stat().st_size
    with pytest.raises(OSError, match="truncated"):
        Image.open(tmp_path / "truncated/train_images/000000000001.png").load()
    copies = [path.read_bytes() for path in sorted((tmp_path / "twice/train_images").iterdir())]
    assert len(copies) == 4 and copies[0] == copies[2] and copies[1] == copies[3]
    assert not (tmp_path / "no_row/train.csv").exists()
    assert table(tmp_path / "no_grade/train.csv")[1][1] == "moderate"
    assert table(tmp_path / "plain_numbers/train.csv")[1][0] == "1"
    assert {path.name[:2] for path in (tmp_path / "hidden/train_images").iterdir()} == {"._", "00"}
