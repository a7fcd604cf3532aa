"""Test M&Ms-2's layout: names, codes and the table."""

import csv

import nibabel as nib
import numpy as np
import pytest
from planewise.workshop.phantoms import LABELLED, Recipe, write_exams
from planewise.workshop.phantoms.heart.exam import view_affine
from planewise.workshop.phantoms.heart.heart import LABELS
from planewise.workshop.phantoms.heart.population import GROUPS
from planewise.workshop.phantoms.layouts import Mnms2


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe("mnms2", seed=8, population=LABELLED.at_size("demo").with_values(phases=3, breath=0.0))


@pytest.fixture(scope="module")
def tree(recipe, tmp_path_factory):
    root = tmp_path_factory.mktemp("mnms2")
    list(write_exams(recipe, root, 2))
    return root


def table(root) -> list[list[str]]:
    with (root / "dataset_information.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_layout_and_table(tree, recipe):
    assert sorted(path.name for path in (tree / "dataset").iterdir()) == ["001", "002"]
    names = {f"001_{view}_{kind}" for view in ("SA", "LA") for kind in ("CINE", "ED", "ED_gt", "ES", "ES_gt")}
    assert {path.name for path in (tree / "dataset/001").iterdir()} == {f"{name}.nii.gz" for name in names}
    head, *rows = table(tree)
    assert head == ["SUBJECT_CODE", "DISEASE", "VENDOR", "SCANNER", "FIELD"]
    assert [row[:2] for row in rows] == [list(pair) for pair in zip(("001", "002"), GROUPS, strict=False)]


def test_codes_are_the_sets_and_the_affine_is_the_truth(tree, recipe):
    exam = recipe.exam(1)
    for view, short in (("sax", "SA"), ("4ch", "LA")):
        image, mask = (nib.load(tree / f"dataset/001/001_{short}_ES{tail}.nii.gz") for tail in ("", "_gt"))
        truth = view_affine(exam, view)
        np.testing.assert_allclose(image.affine, Mnms2.mirror @ truth, atol=1e-3)
        np.testing.assert_array_equal(image.affine, mask.affine)
        values = np.asarray(mask.dataobj)
        assert image.shape == values.shape == (*exam.scanner.matrix, len(exam.poses[view]))
        ours = {1: LABELS["lv"], 2: LABELS["myocardium"], 3: LABELS["rv"]}
        for index in map(tuple, np.argwhere(values)[::37]):
            point = (truth @ [*index, 1])[:3]
            # rounding in the header may move a voxel across a border
            near = exam.heart.label(
                point + np.array([[0, 0, 0], [0.01, 0, 0], [-0.01, 0, 0]]), exam.phases[exam.end_systole]
            )
            assert ours[values[index]] in near
    cine = nib.load(tree / "dataset/001/001_LA_CINE.nii.gz")
    assert cine.shape[2:] == (1, 3)
    np.testing.assert_array_equal(
        cine.dataobj[..., exam.end_systole], nib.load(tree / "dataset/001/001_LA_ES.nii.gz").dataobj
    )
