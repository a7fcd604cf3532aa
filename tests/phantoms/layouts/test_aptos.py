"""Test APTOS' layout: photographs with a table of grades, and photographs without."""

import csv

import numpy as np
from PIL import Image
from planewise.workshop.phantoms import Recipe, write_exams
from planewise.workshop.phantoms.retina import RETINAS


def table(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_photographs_and_grades(tmp_path):
    recipe = Recipe("aptos", seed=1, population=RETINAS.with_values(side=64))
    list(write_exams(recipe, tmp_path, 6))
    header, *rows = table(tmp_path / "train.csv")
    assert header == ["id_code", "diagnosis"]
    assert rows == [[f"{number:012d}", str(recipe.organ(number).grade)] for number in (1, 2, 4, 5)]
    assert {path.stem for path in (tmp_path / "train_images").iterdir()} == {name for name, _ in rows}
    tested = {path.stem for path in (tmp_path / "test_images").iterdir()}
    assert tested == {name for (name,) in table(tmp_path / "test.csv")[1:]} and len(tested) == 2
    with Image.open(tmp_path / "train_images/000000000001.png") as image:
        assert image.format == "PNG" and image.mode == "RGB" and image.size == (64, 48)
        assert np.array_equal(np.asarray(image), recipe.exam(1).photograph())
