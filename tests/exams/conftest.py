"""Exams on disk: a normal heart in small files, and phantom exams with one defect each."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from planewise.phantoms import UNLABELLED, Recipe
from planewise.phantoms.heart.defects import DEFECTS
from planewise.phantoms.heart.study import study_files
from planewise.phantoms.scanner.dicom import Identity

from tests.exams.files import write_cine
from tests.exams.hearts import USUAL_AXIS, rotation, unit
from tests.phantoms.effects import flawed_files


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
def sound_phantom():
    """A small phantom exam with its identity and its files; defects need all three."""
    population = UNLABELLED.at_size("demo").with_values(phases=3, spacing=(3.4, 3.6), field=(270.0, 290.0))
    exam = Recipe("dsbcc", seed=3, population=population).exam(1)
    identity = Identity("1", "3-1")
    return exam, identity, [(file, file.encode()) for file in study_files(exam, identity)]


@pytest.fixture
def flawed(sound_phantom, tmp_path):
    """Function that writes the phantom exam with the named defects and returns its folder's parent."""
    return partial(write_flawed, sound_phantom, DEFECTS, tmp_path / "flawed", "7")


def write_flawed(sound, defects, root: Path, folder: str, *names: str) -> Path:
    """Write the files of an exam with the named defects below ``root``.

    Args:
        sound: the correct exam, its identity, and its files with their contents.
        defects: maps names to defects.
        root: returned.
        folder: the exam's own folder.
        names: names of the defects.
    """
    exam, identity, contents = sound
    for file in flawed_files(contents, defects, names, exam, identity):
        path = root / folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode())
    return root
