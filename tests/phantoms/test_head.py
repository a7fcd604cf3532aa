"""Test heads: four contrasts that distinguish the tissues, and a tumour with nested parts."""

import numpy as np
import pytest
from planewise.workshop.phantoms.head import CONTRASTS, CORE, ENHANCING, FLUID, GREY, HEADS, OEDEMA, WHITE, Head
from scipy.ndimage import binary_dilation, binary_erosion

SMALL = HEADS.with_values(side=40)


@pytest.fixture(scope="module")
def enhancing():
    """Images and mask of a high-grade tumour."""
    return Head.sample((0, 5, 1), SMALL.with_values(low_grade=0.0)).scan()


def test_contrasts_tell_the_parts_of_a_tumour_apart(enhancing):
    images, mask = enhancing
    assert set(images) == set(CONTRASTS) and set(np.unique(mask)) == {0, CORE, OEDEMA, ENHANCING}
    brain = images["t1"] > 0
    healthy = brain & (mask == 0)

    def brightness(name, where):
        return np.median(images[name][where]) / np.median(images[name][healthy])

    assert brightness("flair", mask == OEDEMA) > 1.2 > brightness("t1", mask == OEDEMA)
    # the enhancing part is bright only with contrast agent
    assert brightness("t1ce", mask == ENHANCING) > brightness("t1", mask == ENHANCING) + 0.2
    # nothing lies outside the brain, which is the same for all contrasts
    assert not mask[~brain].any() and all(np.array_equal(image > 0, brain) for image in images.values())
    assert 0.1 < brain.mean() < 0.5


def test_the_core_lies_in_the_oedema(enhancing):
    _, mask = enhancing
    tumour = mask > 0
    core = np.isin(mask, (CORE, ENHANCING))
    around = binary_dilation(core, iterations=1) & ~core & tumour
    assert around.any() and set(np.unique(mask[around])) == {OEDEMA}


def test_tissues_of_a_healthy_head_have_names():
    """FSL-FAST numbers the tissues by their brightness in T1."""
    images, mask = Head.sample((0, 5, 1), SMALL.with_values(tumour=0.0, tissues=1)).scan()
    brain = images["t1"] > 0
    assert set(np.unique(mask[brain])) == {FLUID, GREY, WHITE} and not mask[~brain].any()
    usual = {value: np.median(images["t1"][mask == value]) for value in (FLUID, GREY, WHITE)}
    assert usual[FLUID] < 0.7 * usual[GREY] and usual[GREY] < 0.8 * usual[WHITE]
    # away from borders, a voxel is as bright as its tissue: no part of the brain is named after another tissue
    for value in usual:
        bright = images["t1"][binary_erosion(mask == value)]
        nearest = np.argmin([np.abs(bright - other) for other in usual.values()], axis=0)
        assert np.mean(nearest == list(usual).index(value)) > 0.95
    assert np.median(images["t2"][mask == FLUID]) > 1.2 * np.median(images["t2"][mask == GREY])
    # the same images with or without a name; if there is a tumour, the mask shows it
    unnamed = Head.sample((0, 5, 1), SMALL.with_values(tumour=0.0)).scan()
    assert all(np.array_equal(unnamed[0][name], images[name]) for name in CONTRASTS)
    ill, told = (Head.sample((0, 5, 1), SMALL.with_values(tissues=value)).scan()[1] for value in (0, 1))
    assert np.array_equal(ill, told) and OEDEMA in ill
