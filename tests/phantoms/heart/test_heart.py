"""Test that the heart has its patient's volumes, and that atria and ventricles move and lie as they should."""

import numpy as np
import pytest
import torch
from planewise.geometry import base_to_apex
from planewise.workshop.phantoms import UNLABELLED
from planewise.workshop.phantoms.heart.heart import ATRIA, END_SYSTOLE, LABELS, USUAL_AXES, Heart
from planewise.workshop.phantoms.heart.population import GROUPS
from planewise.workshop.phantoms.heart.shape import atria, left_of_septum
from planewise.workshop.phantoms.heart.surfaces import ANGLES, HALF


@pytest.fixture(scope="module", params=list(GROUPS))
def heart(request) -> Heart:
    return Heart.sample(np.random.default_rng(list(GROUPS).index(request.param)), request.param)


def test_volumes_and_ejection_fractions_are_the_patients(heart):
    diastole, systole = heart.volumes(0.0), heart.volumes(END_SYSTOLE)
    assert diastole["lv"] == pytest.approx(heart.patient.lv_edv, rel=0.02)
    assert diastole["rv"] == pytest.approx(heart.patient.rv_edv, rel=0.02)
    assert 1 - systole["lv"] / diastole["lv"] == pytest.approx(heart.patient.lv_ef, abs=0.02)
    assert 1 - systole["rv"] / diastole["rv"] == pytest.approx(heart.patient.rv_ef, abs=0.02)


def test_muscle_keeps_its_volume(heart):
    muscle = [heart.volumes(phase)["myocardium"] for phase in np.linspace(0, 0.95, 9)]
    assert np.ptp(muscle) < 0.02 * np.mean(muscle)


def test_smallest_at_end_systole_and_full_again_at_the_end(heart):
    phases = np.linspace(0, 1, 30, endpoint=False)
    volumes = [heart.volumes(phase)["lv"] for phase in phases]
    assert abs(phases[np.argmin(volumes)] - END_SYSTOLE) < 0.06
    assert heart.volumes(0.99)["lv"] == pytest.approx(heart.volumes(0.0)["lv"], rel=0.01)


@pytest.mark.parametrize("phase", [0.0, END_SYSTOLE])
def test_labels_fill_the_volumes(heart, phase):
    # an oblique grid in patient space, different from the heart's
    step = 2.0
    grid = np.arange(-112, 112, step, dtype=np.float32)
    points = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1) + heart.centre.astype(np.float32)
    labels = heart.label(points, phase)
    for name, volume in heart.volumes(phase).items():
        assert (labels == LABELS[name]).sum() * step**3 / 1000 == pytest.approx(volume, rel=0.03)


def test_labels_lie_around_the_long_axis(heart):
    def labels(septal: float, inferior: float, apical: float) -> int:
        return int(heart.label(heart.to_patient([septal, inferior, apical]), 0.0))

    assert labels(0, 0, 5) == LABELS["lv"]
    septal, lateral = heart.surfaces(0.0).epicardium[HALF, [0, ANGLES // 2]]
    assert labels(septal - 2, 0, 0) == LABELS["myocardium"] == labels(2 - lateral, 0, 0)
    assert labels(septal + 8, 5, 0) == LABELS["rv"]
    # the left ventricle's free wall borders on the lung
    assert labels(-lateral - 2, 0, 0) == 0
    assert labels(0, 0, heart.apex - 1) == LABELS["myocardium"]
    assert labels(0, 0, heart.apex + 3) == 0


def test_hearts_point_left_front_and_down_and_can_be_told_from_reversed_ones():
    axes = np.array([Heart.sample(np.random.default_rng(seed), "NOR").long_axis for seed in range(60)])
    mean = axes.mean(axis=0) / np.linalg.norm(axes.mean(axis=0))
    assert np.degrees(np.arccos(mean @ USUAL_AXES[2] / np.linalg.norm(USUAL_AXES[2]))) < 4
    oriented = base_to_apex(torch.as_tensor(-axes)).numpy()
    np.testing.assert_allclose(oriented, axes, atol=1e-9)


def test_pose_spread_is_the_populations():
    still = UNLABELLED.with_values(tilt=0.0, roll=0.0, position=0.0)
    hearts = [Heart.sample(np.random.default_rng(seed), "NOR", still) for seed in range(3)]
    for heart in hearts:
        np.testing.assert_allclose(heart.axes, hearts[0].axes, atol=1e-9)
        np.testing.assert_allclose(heart.axes @ heart.axes.T, np.eye(3), atol=1e-9)
    tilted = UNLABELLED.with_values(tilt=12.0)
    angles = [
        np.degrees(np.arccos(Heart.sample(np.random.default_rng(seed), "NOR", tilted).long_axis @ hearts[0].long_axis))
        for seed in range(60)
    ]
    # half-normal: its root mean square equals the standard deviation
    assert 9 < np.sqrt(np.mean(np.square(angles))) < 15


def test_a_blunt_right_ventricle_is_wide_at_the_apex_and_has_its_patients_volume():
    def areas(taper: float) -> tuple[float, float]:
        """Cross-sections of the right ventricle, in voxels: within 10 mm of the equator, and more than 50 mm towards the
        apex.
        """
        heart = Heart.sample(np.random.default_rng(3), "NOR", UNLABELLED.with_values(right_taper=(taper, taper)))
        assert heart.volumes(0.0)["rv"] == pytest.approx(heart.patient.rv_edv, rel=0.02)
        grid = np.meshgrid(np.arange(0, 90, 2.0), np.arange(-60, 60, 2.0), np.arange(0, 100, 2.0), indexing="ij")
        right = heart.label(heart.to_patient(np.stack(grid, -1).astype(np.float32)), 0.0) == LABELS["rv"]
        return right[:, :, :5].sum(), right[:, :, 25:].sum()

    (basal, apical), (blunt_basal, blunt_apical) = areas(1.1), areas(0.4)
    assert blunt_apical > 1.3 * apical and blunt_basal < basal


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_reader_of_whole_slices_draws_a_ventricle_entirely_or_not_at_all(heart, share):
    # sections tilted against the valve planes, from beyond the base to the middle
    across = np.arange(-90, 90, 2.0)
    x, y = np.meshgrid(across, across, indexing="ij")
    drawn = {"lv": set(), "rv": set()}
    for level in np.arange(-heart.shape.basal_length - 30, 0, 3.0):
        points = heart.to_patient(np.stack([x, y, level + 0.4 * x], axis=-1)).astype(np.float32)
        cut, whole = (heart.label(points, 0.0, whole_slices=each) for each in (0.0, share))
        entire = heart.label(points, 0.0, whole_slices=1e-6)
        for name, kinds in drawn.items():
            parts = [(labels == LABELS[name]).sum() for labels in (cut, whole, entire)]
            if parts[0]:
                wanted = parts[2] if parts[0] >= share * parts[2] else 0
                assert parts[1] == wanted, (name, level)
                kinds.add(parts[1] == 0)
    assert True in drawn["rv"] or share < 0.5
    assert all(False in kinds for kinds in drawn.values())


@pytest.mark.parametrize(
    ("setting", "value", "grows"),
    [
        ("right_end", (84.0, 84.0), "rv"),
        ("apical_thinning", (0.0, 0.0), "myocardium"),
        ("right_taper", (0.4, 0.4), "rv"),
    ],
)
def test_settings_of_form_change_the_apex(setting, value, grows):
    hearts = [
        Heart.sample(np.random.default_rng(3), "NOR", UNLABELLED.with_values(**values))
        for values in ({}, {setting: value})
    ]
    across = np.arange(-90, 90, 2.0)
    x, y = np.meshgrid(across, across, indexing="ij")
    sizes = []
    for heart in hearts:
        level = 0.7 * heart.shape.apical_length
        points = heart.to_patient(np.stack([x, y, np.full_like(x, level)], axis=-1)).astype(np.float32)
        sizes.append((heart.label(points, 0.0) == LABELS[grows]).sum())
    assert sizes[1] > 1.15 * sizes[0]


def box(heart: Heart, step: float = 3.0) -> np.ndarray:
    """Points of patient space around a heart, ``(N, 3)``."""
    axes = [np.arange(-90, 91, step)] * 3
    return heart.to_patient(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3))


def test_atria_fill_while_ventricles_empty():
    heart = Heart.sample(np.random.default_rng(3))
    at = tuple(heart.to_local(box(heart)).astype(np.float32).T)
    rest, systole = (atria(heart.patient, heart.shape, at, squeeze) for squeeze in (0.0, 1.0))
    for before, after in zip(rest, systole, strict=True):
        assert (after > 0).sum() > 1.1 * (before > 0).sum()
    left, right = rest
    assert not ((left_of_septum(left, right) > 0) & (right > -0.1)).any(), "the septum lies between them"


def test_atria_have_the_volumes_of_atria():
    heart = Heart.sample(np.random.default_rng(4))
    points = box(heart)
    for phase in (0.0, 0.37):
        labels = heart.label(points, phase)
        assert set(np.unique(labels)) == {0, *LABELS.values(), *ATRIA.values()}
        # a millilitre is 1000 mm3, and a point represents 27 mm3
        volumes = {name: (labels == value).sum() * 27 / 1000 for name, value in ATRIA.items()}
        assert all(20 < volume < 200 for volume in volumes.values()), volumes
