"""Test ACDC's layout: names, Info.cfg, volumes and masks."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from planewise.workshop.phantoms import LABELLED, Recipe, write_exams
from planewise.workshop.phantoms.heart.heart import LABELS
from planewise.workshop.phantoms.heart.population import GROUPS
from scipy.ndimage import binary_fill_holes


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    # fine slices, so that masks can be compared with volumes
    fine = {
        "phases": 3,
        "slices": ((5.0, 0.0),),
        "spacing": (2.5, 2.5),
        "field": (220.0, 220.0),
        "coverage": (3.0, 3.0),
    }
    return Recipe("acdc", seed=8, population=LABELLED.at_size("demo").with_values(image_shift=0.0, breath=0.0, **fine))


@pytest.fixture(scope="module")
def tree(recipe, tmp_path_factory):
    root = tmp_path_factory.mktemp("acdc")
    list(write_exams(recipe, root, 5))
    return root


def _info(folder) -> dict[str, str]:
    return dict(line.split(": ") for line in (folder / "Info.cfg").read_text().splitlines())


def test_ordered_by_disease_with_a_place_for_every_number(recipe):
    names = {number: recipe.form.exam_paths(recipe, number)[0].rpartition("/")[2] for number in range(1, 201)}
    assert len(set(names.values())) == 200
    groups = list(GROUPS)
    by_name = sorted((name, groups[(number - 1) % 5]) for number, name in names.items())
    assert [name for name, _ in by_name] == [f"patient{place:03d}" for place in range(1, 201)]
    assert [group for _, group in by_name] == [group for _ in range(2) for group in groups for _ in range(20)]


def test_layout_and_info(tree, recipe):
    folders = sorted((tree / "training").iterdir())
    assert [folder.name for folder in folders] == [f"patient{place:03d}" for place in (1, 21, 41, 61, 81)]
    for number, folder in enumerate(folders, 1):
        info, patient = _info(folder), recipe.organ(number).patient
        assert list(info) == ["ED", "ES", "Group", "Height", "NbFrame", "Weight"]
        assert (info["ED"], info["ES"], info["NbFrame"]) == ("1", "2", "3")
        assert info["Group"] == list(GROUPS)[number - 1] == patient.group
        assert float(info["Height"]) == patient.height and float(info["Weight"]) == patient.weight
        volumes = ("4d", "frame01", "frame01_gt", "frame02", "frame02_gt")
        wanted = {"Info.cfg", *(f"{folder.name}_{volume}.nii.gz" for volume in volumes)}
        assert {path.name for path in folder.iterdir()} == wanted


def test_masks_lie_on_the_pictures(tree):
    folder = tree / "training" / "patient061"
    image = np.asarray(nib.load(folder / "patient061_frame01.nii.gz").dataobj, dtype=float)
    mask = np.asarray(nib.load(folder / "patient061_frame01_gt.nii.gz").dataobj)
    assert np.median(image[mask == 3]) > 1.4 * np.median(image[mask == 2])
    # the mask fits the image, and no longer fits after a shift of three voxels
    moved = np.roll(mask, 3, axis=0)
    assert image[mask == 2].std() < 0.8 * image[moved == 2].std()


def test_labels_are_numbered_as_in_acdc(tree):
    """1 right ventricle, 2 myocardium, 3 left ventricle: in a middle slice, the ring of 2 encloses 3, and 1 lies outside
    it.
    """
    assert LABELS == {"rv": 1, "myocardium": 2, "lv": 3}
    mask = np.asarray(nib.load(tree / "training/patient061/patient061_frame01_gt.nii.gz").dataobj)
    middle = mask[:, :, int(np.flatnonzero((mask == 3).any(axis=(0, 1))).mean())]
    enclosed = binary_fill_holes(middle == 2)
    assert enclosed[middle == 3].all() and not enclosed[middle == 1].any() and (middle == 1).any()


def test_masks_move_with_the_breath_of_their_pictures(recipe):
    breathing = replace(recipe, population=recipe.population.with_values(breath=20.0))
    exam = breathing.exam(4)
    pose = exam.poses["sax"][len(exam.poses["sax"]) // 2]
    stream = max(range(1, 9), key=lambda stream: abs(exam.breath(stream)[2]))
    image, mask = exam.images(pose, stream)[0].astype(float), exam.mask(pose, stream, 0.0)
    elsewhere = exam.mask(pose.moved(exam.breath(stream)), stream, 0.0)
    assert (mask != elsewhere).sum() > 50
    # the image is dark where the moved mask shows muscle, and not where the heart usually is
    assert image[mask == 2].std() < 0.8 * image[elsewhere == 2].std()
