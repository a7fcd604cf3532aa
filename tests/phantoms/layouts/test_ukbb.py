"""Test the layout of UK Biobank's pipelines: names, affines, five structures in 4ch."""

from copy import deepcopy
from dataclasses import replace
from itertools import permutations

import nibabel as nib
import numpy as np
import pytest
from planewise.phantoms import VOLUNTEERS, Recipe, write_exams
from planewise.phantoms.heart.nifti_defects import UKBB_DEFECTS
from planewise.phantoms.heart.volumes import view_affine
from planewise.phantoms.layouts.ukbb import exam_files

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


def test_every_flaw(recipe):
    exam, identity = recipe.exam(1), recipe.identity(1)
    sound = {file.name: file for file in exam_files(exam)}
    flawed = {name: UKBB_DEFECTS[name].alter(deepcopy([*sound.values()]), exam, identity) for name in UKBB_DEFECTS}
    flawed = {name: {file.name: file for file in files} for name, files in flawed.items()}
    whole = set(sound)
    assert set(flawed["unlabelled"]) == CINES
    assert whole - set(flawed["no_2ch"]) == {"la_2ch.nii.gz"}
    assert whole - set(flawed["no_4ch"]) == {name for name in whole if "la_4ch" in name}
    short = ("sa", "sa_ED", "sa_ES", "label_sa_ED", "label_sa_ES")
    assert whole - set(flawed["no_short_axis"]) == {f"{name}.nii.gz" for name in short}
    assert set(flawed["swapped_names"]) == CINES
    np.testing.assert_array_equal(flawed["swapped_names"]["la_2ch.nii.gz"].affine, sound["la_4ch.nii.gz"].affine)
    assert set(flawed["cine_labels"]) - whole == {"label_sa.nii.gz", "label_la_4ch.nii.gz"}
    over_time = flawed["cine_labels"]["label_la_4ch.nii.gz"].volume
    assert over_time.shape[3] == 3 and over_time.any(axis=(0, 1, 2)).tolist().count(True) == 2
    atria, five = (files["label_la_4ch_ED.nii.gz"].volume for files in (flawed["only_atria"], sound))
    np.testing.assert_array_equal(atria, np.select([five == 4, five == 5], [1, 2]))
    drawn = set(flawed["predictions"]) - whole
    assert len(drawn) == 4 and all(name.startswith("seg") for name in drawn)
    assert set(flawed["no_orientation"]) == set(flawed["mask_elsewhere"]) == whole
    moved = flawed["mask_elsewhere"]["label_la_4ch_ED.nii.gz"].affine - sound["label_la_4ch_ED.nii.gz"].affine
    assert np.linalg.norm(moved[:3, 3]) == pytest.approx(20)


def test_a_header_without_orientation(recipe, tmp_path):
    bare = replace(recipe, defects=("no_orientation", "unlabelled"))
    list(write_exams(bare, tmp_path, 1))
    flat = nib.load(tmp_path / "1000001/la_4ch.nii.gz")
    assert (flat.header["sform_code"], flat.header["qform_code"]) == (0, 0)
    np.testing.assert_allclose(flat.header.get_zooms()[:2], 3.0)


def test_flaws_go_together(recipe):
    exam, identity = recipe.exam(1), recipe.identity(1)
    sound = exam_files(exam)
    for pair in permutations(UKBB_DEFECTS, 2):
        files = deepcopy(sound)
        for name in pair:
            files = UKBB_DEFECTS[name].alter(files, exam, identity)
        assert files
