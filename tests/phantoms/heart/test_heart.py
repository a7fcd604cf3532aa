"""Test that the heart has its patient's volumes, and that atria and ventricles move and lie as they should."""

import numpy as np
import pytest
from planewise.workshop.phantoms.heart.heart import END_SYSTOLE, LABELS, Heart
from planewise.workshop.phantoms.heart.population import GROUPS


@pytest.fixture(scope="module", params=list(GROUPS))
def heart(request) -> Heart:
    return Heart.sample(np.random.default_rng(list(GROUPS).index(request.param)), request.param)


def test_volumes_and_ejection_fractions_are_the_patients(heart):
    diastole, systole = heart.volumes(0.0), heart.volumes(END_SYSTOLE)
    assert diastole["lv"] == pytest.approx(heart.patient.lv_edv, rel=0.02)
    assert diastole["rv"] == pytest.approx(heart.patient.rv_edv, rel=0.02)
    assert 1 - systole["lv"] / diastole["lv"] == pytest.approx(heart.patient.lv_ef, abs=0.02)
    assert 1 - systole["rv"] / diastole["rv"] == pytest.approx(heart.patient.rv_ef, abs=0.02)


@pytest.mark.parametrize("phase", [0.0, END_SYSTOLE])
def test_labels_fill_the_volumes(heart, phase):
    # an oblique grid in patient space, different from the heart's
    step = 3.0
    grid = np.arange(-112, 112, step, dtype=np.float32)
    points = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1) + heart.centre.astype(np.float32)
    labels = heart.label(points, phase)
    for name, volume in heart.volumes(phase).items():
        assert (labels == LABELS[name]).sum() * step**3 / 1000 == pytest.approx(volume, rel=0.03)
