"""Test BraTS' layout: a folder for each grade, a folder for each case, four contrasts and a mask on one grid."""

import nibabel as nib
import numpy as np
import pytest
from planewise.workshop.phantoms import Recipe, write_exams
from planewise.workshop.phantoms.head import HEADS

SMALL = HEADS.with_values(side=24, low_grade=0.5)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("brats")
    list(write_exams(Recipe("brats", seed=1, population=SMALL), root, 4))
    return root


def test_names_and_grades(tree):
    cases = sorted(path for path in tree.glob("*/*") if path.is_dir())
    assert len(cases) == 4 and {case.parent.name for case in cases} == {"HGG", "LGG"}
    for case in cases:
        names = {path.name for path in case.iterdir()}
        assert names == {f"{case.name}_{part}.nii.gz" for part in ("t1", "t1ce", "t2", "flair", "seg")}
        enhances = 4 in np.unique(nib.load(case / f"{case.name}_seg.nii.gz").get_fdata())
        assert enhances == (case.parent.name == "HGG")


def test_one_grid_whose_affine_puts_the_eyes_in_front(tree):
    cases = [path for path in tree.glob("*/*") if path.is_dir()]
    assert len(cases) == 4
    for case in cases:
        images = [nib.load(path) for path in sorted(case.glob("*.nii.gz"))]
        assert {image.shape for image in images} == {(24, 24, 24)}
        assert all(np.array_equal(image.affine, images[0].affine) for image in images)
        assert nib.aff2axcodes(images[0].affine) == ("L", "P", "S")
        # the block's centre is the origin
        assert np.allclose(nib.affines.apply_affine(images[0].affine, (11.5, 11.5, 11.5)), 0, atol=1e-3)
        # the cerebellum is at the back, so below the middle there is more brain behind than in front
        brain = next(image for image in images if image.get_filename().endswith("_t1.nii.gz")).get_fdata() > 0
        assert brain[:, 12:, :6].sum() > brain[:, :12, :6].sum()


def test_healthy_heads_with_masks_of_tissues(tmp_path):
    list(write_exams(Recipe("brats", population=SMALL.with_values(tumour=0.0, tissues=1)), tmp_path, 1))
    (mask,) = tmp_path.rglob("*_seg.nii.gz")
    assert set(np.unique(nib.load(mask).get_fdata())) == {0, 1, 2, 3}
