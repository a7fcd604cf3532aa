"""Exams on disk: a normal heart in small files, and phantom exams that are damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams

from tests.exams import damage
from tests.exams.files import write_cine
from tests.exams.hearts import USUAL_AXIS, rotation, unit


@pytest.fixture
def usual_exam(tmp_path) -> Path:
    """A heart in the usual pose: ``sax_1`` to ``sax_5`` (one series per slice, named from apex to base), ``4ch_8``,
    ``2ch_9``.
    """
    return write_usual_exam(tmp_path / "exam")


def write_usual_exam(folder: Path, views=("4ch", "2ch"), slices: int = 5, **tags) -> Path:
    """Write the exam; every file gets the ``tags``."""
    middle = np.array([-20.0, 15.0, -10.0])
    for rank in range(slices):
        place = middle + (slices // 2 - rank) * 10 * USUAL_AXIS  # the first series is at the apex
        write_cine(folder / f"sax_{rank + 1}", place, USUAL_AXIS, number=rank + 1, **tags)
    for number, view in enumerate(views, start=8):
        write_cine(folder / f"{view}_{number}", middle, view_normal(view), number=number, **tags)
    return folder


def view_normal(view: str) -> np.ndarray:
    """The normal of a long-axis view of that heart."""
    right = np.array([1.0, 0, 0])
    right = unit(right - right @ USUAL_AXIS * USUAL_AXIS)
    line = rotation(USUAL_AXIS, {"4ch": -4, "2ch": 64, "3ch": 124}[view]) @ right
    return np.cross(line, USUAL_AXIS)


@pytest.fixture(scope="session")
def sound_phantom(tmp_path_factory) -> Path:
    """The folder of a small phantom exam."""
    population = UNLABELLED.at_size("demo").with_values(phases=3, spacing=(3.4, 3.6), field=(270.0, 290.0))
    root = tmp_path_factory.mktemp("sound")
    list(write_exams(Recipe("dsbcc", seed=3, population=population), root, 1))
    return root / "train/train/1"


@pytest.fixture
def flawed(sound_phantom, tmp_path):
    """Function that copies the phantom exam, damages it (`tests.exams.damage`), and returns its folder's parent."""

    def write(*names: str) -> Path:
        folder = shutil.copytree(sound_phantom, tmp_path / "flawed/7")
        for name in names:
            getattr(damage, name)(folder)
        return folder.parent

    return write
