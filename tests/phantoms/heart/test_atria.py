"""Test that atria are the same solid in images and in labels."""

import numpy as np
from planewise.phantoms.heart.atria import atria, left_of_septum
from planewise.phantoms.heart.heart import ATRIA, LABELS, Heart


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


def test_labels_with_atria_leave_those_of_ventricles_as_they_are():
    heart = Heart.sample(np.random.default_rng(4))
    points = box(heart)
    for phase in (0.0, 0.37):
        without, with_atria = heart.label(points, phase), heart.label(points, phase, with_atria=True)
        assert set(np.unique(without)) == {0, *LABELS.values()}
        assert set(np.unique(with_atria)) == {0, *LABELS.values(), *ATRIA.values()}
        np.testing.assert_array_equal(with_atria[without > 0], without[without > 0])
        # a millilitre is 1000 mm3, and a point represents 27 mm3
        volumes = {name: (with_atria == value).sum() * 27 / 1000 for name, value in ATRIA.items()}
        assert all(20 < volume < 200 for volume in volumes.values()), volumes
