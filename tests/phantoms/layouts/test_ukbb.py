"""Test the layout of UK Biobank's pipelines: names, affines, five structures in 4ch."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from planewise.workshop.phantoms import VOLUNTEERS, Recipe, write_exams
from planewise.workshop.phantoms.heart.exam import view_affine

VIEWS = {"sax": "sa", "2ch": "la_2ch", "4ch": "la_4ch"}
CINES = {f"{name}.nii.gz" for name in VIEWS.values()}


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe("ukbb", seed=8, population=VOLUNTEERS.at_size("demo").with_values(phases=3, spacing=(3.0, 3.0)))


@pytest.fixture(scope="module")
def home(recipe, tmp_path_factory):
    root = tmp_path_factory.mktemp("ukbb")
    list(write_exams(recipe, root, 1))
    return root / "1000001"


def test_names_and_affines(home, recipe):
    drawn = {
        f"{prefix}{name}_{phase}" for prefix in ("", "label_") for name in ("sa", "la_4ch") for phase in ("ED", "ES")
    }
    assert {path.name for path in home.iterdir()} == CINES | {f"{name}.nii.gz" for name in drawn}
    exam = recipe.exam(1)
    for view, name in VIEWS.items():
        cine = nib.load(home / f"{name}.nii.gz")
        assert cine.shape == (*exam.scanner.matrix, len(exam.poses[view]), 3)
        np.testing.assert_allclose(cine.affine, view_affine(exam, view), atol=1e-3)
        # the last slice is at its planned position
        last = exam.poses[view][-1]
        middle = [*((np.array(exam.scanner.matrix) - 1) / 2), len(exam.poses[view]) - 1, 1]
        np.testing.assert_allclose((cine.affine @ middle)[:3], last.centre, atol=1e-2)


def test_five_structures_in_4ch_and_three_in_the_short_axis(home, recipe):
    exam = recipe.exam(1)
    for rank, phase in ((0, "ED"), (exam.end_systole, "ES")):
        four, short = (np.asarray(nib.load(home / f"label_{name}_{phase}.nii.gz").dataobj) for name in ("la_4ch", "sa"))
        assert set(np.unique(four)) == {0, 1, 2, 3, 4, 5} and set(np.unique(short)) == {0, 1, 2, 3}
        # in the heart's frame, atria are towards the base, and the left atrium away from the septum
        affine = nib.load(home / f"label_la_4ch_{phase}.nii.gz").affine
        centres = {
            value: exam.heart.to_local((affine @ [*np.argwhere(four == value).mean(axis=0), 1])[:3])
            for value in range(1, 6)
        }
        assert max(centres[4][2], centres[5][2]) < min(centres[1][2], centres[3][2])
        assert centres[1][0] < centres[3][0] and centres[4][0] < centres[5][0]
        np.testing.assert_array_equal(
            nib.load(home / "la_4ch.nii.gz").dataobj[..., rank], nib.load(home / f"la_4ch_{phase}.nii.gz").dataobj
        )


def test_exams_without_masks(recipe, home, tmp_path):
    list(write_exams(replace(recipe, population=recipe.population.with_values(masks=0)), tmp_path, 1))
    written = {path.name: path.read_bytes() for path in (tmp_path / "1000001").iterdir()}
    assert written == {name: (home / name).read_bytes() for name in CINES}
