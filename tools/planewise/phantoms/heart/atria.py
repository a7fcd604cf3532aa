"""The atria as solids in the heart's frame, for painting and for labels."""

from __future__ import annotations

import numpy as np

from planewise.phantoms.heart.patient import Patient
from planewise.phantoms.heart.shape import HeartShape
from planewise.phantoms.solids import Coordinates, ellipsoid


def atria(patient: Patient, shape: HeartShape, at: Coordinates, squeeze: float) -> tuple[np.ndarray, np.ndarray]:
    """Depths inside the left and the right atrium, mm, positive inside.

    The roofs do not move and the floors follow the valve planes, so the atria fill when the ventricles empty. The floors
    extend beyond the valve planes, where the ventricles are painted over them. The two atria overlap at the septum.

    Args:
        patient: the patient, whose size determines the size of the atria.
        shape: shape of the heart.
        at: points in the heart's frame, mm, float32.
        squeeze: contraction of the ventricles, 0 at end-diastole and 1 at end-systole.
    """
    size = (patient.body_surface / 1.9) ** 0.5
    left_floor, left_roof = shape.left_base(squeeze).level + 6, -shape.basal_length - 50 * size
    middle, half = (left_floor + left_roof) / 2, (left_floor - left_roof) / 2
    left = ellipsoid(at, (6, 4, middle), (28 * size, 24 * size, half))
    right_floor, right_roof = shape.right_base(squeeze).level + 8, -shape.basal_length - 46 * size
    middle, half = (right_floor + right_roof) / 2, (right_floor - right_roof) / 2
    right = ellipsoid(at, (48, 24, middle), (22 * size, 26 * size, half))
    return left, right


def left_of_septum(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Depth inside the part of the left atrium that excludes the right atrium and the septum, mm."""
    return left - np.maximum(right + 1.5, 0)
