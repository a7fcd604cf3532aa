"""Test fastMRI's layout, headers and geometry; an exam does not depend on how many exams are written."""

from collections import defaultdict

import numpy as np
import pydicom
import pytest
from planewise.workshop.phantoms import KNEE_UNLABELLED, Recipe, write_exams
from planewise.workshop.phantoms.knee.exam import plan_series, series_files

SMALL = KNEE_UNLABELLED.at_size("demo").with_values(spacing=(3.2, 3.6), plain_sagittal=1.0, localizer=1.0)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe("fastmri", seed=3, population=SMALL)


@pytest.fixture(scope="module")
def tree(recipe, tmp_path_factory):
    """Root of a tree with exams 1 and 2 of the recipe."""
    root = tmp_path_factory.mktemp("fastmri")
    assert [new for _, new in write_exams(recipe, root, 2)] == [True, True]
    return root


@pytest.fixture(scope="module")
def series(tree, recipe):
    """Files of exam 1 by folder, as (path, header)."""
    found = defaultdict(list)
    for path in sorted((tree / recipe.form.exam_paths(recipe, 1)[0]).rglob("*.dcm")):
        found[path.parent.name].append((path, pydicom.dcmread(path)))
    assert len(found) > 3
    return found


def _axis(header) -> int:
    """Axis of the body that a slice's normal is closest to."""
    orientation = np.array(header.ImageOrientationPatient, dtype=float)
    return int(np.abs(np.cross(orientation[:3], orientation[3:])).argmax())


def test_an_exam_has_the_three_planes_a_plain_sagittal_and_a_localizer(series):
    planes = sorted((_axis(files[0][1]), len({_axis(header) for _, header in files})) for files in series.values())
    assert planes.count((0, 1)) == 2 and (1, 1) in planes and (2, 1) in planes
    assert [count for _, count in planes].count(3) == 1, "the localizer has all orientations"


def test_the_picture_is_the_knee_at_its_place(recipe, series):
    """In T2 with fat suppression, bone marrow and air are dark where the model has them."""
    exam = recipe.exam(1)
    planned = next(each for each in plan_series(exam, recipe.population) if each.protocol.weighting == "t2_fs")
    files = next(files for name, files in series.items() if name.startswith(f"MR{planned.number}_"))
    _, header = files[len(files) // 2]
    position = np.array(header.ImagePositionPatient, dtype=float) * [-1, -1, 1]
    orientation = np.array(header.ImageOrientationPatient, dtype=float) * [-1, -1, 1, -1, -1, 1]
    spacing = [float(value) for value in header.PixelSpacing]
    columns, rows = np.meshgrid(np.arange(header.Columns), np.arange(header.Rows))
    points = (
        position + columns[..., None] * spacing[1] * orientation[:3] + rows[..., None] * spacing[0] * orientation[3:]
    )
    local = exam.knee.to_local(points.astype(np.float32))
    _, depth = exam.leg.paint(tuple(local[..., axis] for axis in range(3)), planned.protocol.contrast, 1.0)
    pixels = header.pixel_array.astype(float)
    assert pixels[depth > 5].mean() > 2 * pixels[depth < -5].mean()
    # shifted by a fifth of the image, leg and air no longer match
    moved = np.roll(pixels, pixels.shape[1] // 5, axis=1)
    assert moved[depth < -5].mean() > 1.5 * pixels[depth < -5].mean()


@pytest.mark.parametrize("left", [False, True])
def test_left_and_right_knees_are_called_so_and_lie_there(left):
    # knees to one side of the scanner: in LPS, the patient's left is positive
    recipe = Recipe("fastmri", 2, SMALL.with_values(spacing=(9.0, 9.0), centred=0.0))
    number = next(k for k in range(1, 30) if recipe.organ(k).patient.left == left)
    exam = recipe.exam(number)
    (series,) = [each for each in plan_series(exam, recipe.population) if each.poses is exam.poses["axial"]]
    _, header = series_files(exam, series, recipe.identity(number))[0]
    assert header.Laterality == ("L" if left else "R")
    assert (float(header.ImagePositionPatient[0]) > 0) == left
