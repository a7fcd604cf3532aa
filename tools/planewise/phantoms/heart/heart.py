"""The phantom heart: an analytic, beating, three-dimensional model in patient space."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from planewise.phantoms.heart.atria import atria, left_of_septum
from planewise.phantoms.heart.patient import Patient
from planewise.phantoms.heart.population import UNLABELLED, Population
from planewise.phantoms.heart.shape import HeartShape
from planewise.phantoms.heart.surfaces import Surfaces, enclosed_volume, locate
from planewise.phantoms.scanner.pose import rotation

#: Axes of an average heart, RAS+: rows towards the septum, the inferior wall and the apex. They come from the two-chamber
#: and short-axis planes of a real exam (`cardiac_cine_exam`).
USUAL_AXES = np.array([[0.782, 0.621, -0.046], [0.356, -0.507, -0.783], [-0.48, 0.62, -0.62]])

#: Position of the equator of an average left ventricle in the chest that `Body` builds, RAS+, mm.
USUAL_CENTRE = np.array([-46.0, 12.0, 0.0])

#: A phase of the cycle in which every heart is fully contracted.
END_SYSTOLE = 0.37

#: Label values of `Heart.label`, numbered as in ACDC.
LABELS = {"rv": 1, "myocardium": 2, "lv": 3}
#: Label values of `Heart.label` for the atria, if they are requested.
ATRIA = {"la": 4, "ra": 5}


class Heart:
    """A beating heart at a position in patient space.

    The heart's own frame has its origin at the equator of the left ventricle, and its axes point towards septum,
    inferior wall and apex.

    Args:
        patient: the patient.
        shape: anatomy of the heart.
        centre: point on the long axis at the left ventricle's equator, shape ``(3,)``, RAS+, mm.
        axes: rows of unit vectors towards septum, inferior wall and apex, shape ``(3, 3)``, RAS+. Mirrored axes
            (determinant -1) put the heart in the right chest.
    """

    def __init__(self, patient: Patient, shape: HeartShape, centre: np.ndarray, axes: np.ndarray) -> None:
        self.patient, self.shape = patient, shape
        self.centre, self.axes = np.asarray(centre, dtype=np.float64), np.asarray(axes, dtype=np.float64)
        self._surfaces: dict[float, Surfaces] = {}

    @classmethod
    def sample(
        cls, rng: np.random.Generator, group: str | Patient = "NOR", population: Population = UNLABELLED
    ) -> Heart:
        """Sample a heart of a disease group or of a given patient. The population defines how its form and pose vary."""
        patient = group if isinstance(group, Patient) else Patient.sample(rng, group)
        shape = HeartShape.sample(rng, patient, population)
        axes = _turned_axes(rng, population)
        return cls(patient, shape, USUAL_CENTRE + rng.normal(0, population.position, 3), axes)

    @property
    def long_axis(self) -> np.ndarray:
        """Unit vector from base to apex, shape ``(3,)``, RAS+."""
        return self.axes[2]

    @cached_property
    def apex(self) -> float:
        """Distance of the outside of the apex from the equator at end-diastole, mm."""
        return float(self.surfaces(0.0).epicardium[-1].mean())

    def to_local(self, points: np.ndarray) -> np.ndarray:
        """Convert points ``(..., 3)`` from patient space to the heart's frame, mm. Their precision does not change."""
        points = np.asarray(points)
        return (points - self.centre.astype(points.dtype)) @ self.axes.T.astype(points.dtype)

    def to_patient(self, local: np.ndarray) -> np.ndarray:
        """Convert points ``(..., 3)`` from the heart's frame to patient space, RAS+, mm."""
        return np.asarray(local) @ self.axes + self.centre

    def squeeze(self, phase: float) -> float:
        """Contraction of the heart at a phase of the cycle: 0 at end-diastole, 1 at end-systole."""
        times = np.array([0.03, 0.09, 0.15, 0.21, 0.27, 0.32, 0.41, 0.47, 0.53, 0.60, 0.70, 0.82, 0.90, 0.97])
        values = np.array([0.0, 0.12, 0.42, 0.74, 0.95, 1.0, 1.0, 0.80, 0.46, 0.27, 0.22, 0.20, 0.08, 0.0])
        return float(np.interp(phase % 1.0, times, values))

    def surfaces(self, phase: float) -> Surfaces:
        """The ventricles' surfaces at a phase of the cycle, in [0, 1)."""
        squeeze = self.squeeze(phase)
        if squeeze not in self._surfaces:
            self._surfaces[squeeze] = self.shape.surfaces(squeeze)
        return self._surfaces[squeeze]

    def label(
        self, points: np.ndarray, phase: float, with_atria: bool = False, whole_slices: float = 0.0
    ) -> np.ndarray:
        """The labels that a reader would draw at points in patient space.

        Args:
            points: shape ``(..., 3)``, RAS+, mm.
            phase: phase of the cycle, in [0, 1).
            with_atria: whether the atria are drawn, too, up to the valve planes.
            whole_slices: if above 0, the points are a slice, in which a ventricle is drawn entirely if at least this share
                of its section is on its side of the valve plane, and otherwise not at all.

        Returns:
            0 or one of `LABELS` and `ATRIA`, uint8, shape ``(...)``. Papillary muscles belong to the cavity, as in ACDC.
        """
        points = np.asarray(points, dtype=np.float32)
        where = locate(self.to_local(points.reshape(-1, 3)))
        surfaces = self.surfaces(phase)
        endocardium, epicardium, right = surfaces.depths(where)[:3]
        left_side = surfaces.left_base.height(where.x, where.y, where.z) > 0
        right_side = surfaces.right_base.height(where.x, where.y, where.z) > 0
        if whole_slices:
            left_side = _whole(left_side, endocardium > 0, whole_slices)
            right_side = _whole(right_side, (right > 0) & (epicardium <= 0), whole_slices)
        labels = np.zeros(len(where.x), dtype=np.uint8)
        if with_atria:
            left, right_atrium = atria(self.patient, self.shape, (where.x, where.y, where.z), self.squeeze(phase))
            labels[(right_atrium > 0) & ~right_side] = ATRIA["ra"]
            labels[(left_of_septum(left, right_atrium) > 0) & ~left_side] = ATRIA["la"]
        labels[(right > 0) & (epicardium <= 0) & right_side] = LABELS["rv"]
        labels[(epicardium > 0) & left_side] = LABELS["myocardium"]
        labels[(endocardium > 0) & left_side] = LABELS["lv"]
        return labels.reshape(points.shape[:-1])

    def volumes(self, phase: float) -> dict[str, float]:
        """Volume of each label at a phase, ml. It is integrated along rays, not counted in voxels."""
        surfaces = self.surfaces(phase)
        return {
            "rv": enclosed_volume(surfaces.right, surfaces.epicardium, surfaces.right_base),
            "myocardium": enclosed_volume(surfaces.epicardium, surfaces.endocardium, surfaces.left_base),
            "lv": enclosed_volume(surfaces.endocardium, 0.0, surfaces.left_base),
        }


def _whole(side: np.ndarray, region: np.ndarray, share: float) -> np.ndarray:
    """True at all points or at none: whether at least a share of a region is on a side; an empty region is."""
    return np.full(side.shape, not region.any() or np.mean(side[region]) >= share)


def _turned_axes(rng: np.random.Generator, population: Population) -> np.ndarray:
    """Axes ``(3, 3)`` of a heart, tilted and rolled away from the usual axes."""
    towards = rng.uniform(0, 2 * np.pi)
    # at a tilt beyond 2.5 standard deviations, the apex could no longer be distinguished from the base; a roll beyond 2
    # standard deviations would exceed anatomical variation
    tilt = np.radians(population.tilt * np.clip(rng.standard_normal(), -2.5, 2.5))
    roll = np.radians(population.roll * np.clip(rng.standard_normal(), -2, 2))
    axes = USUAL_AXES @ rotation(np.cos(towards) * USUAL_AXES[0] + np.sin(towards) * USUAL_AXES[1], tilt).T
    axes = axes @ rotation(axes[2], roll).T
    # the usual axes are rounded to three decimals, so the nearest true rotation is used
    left, _, right = np.linalg.svd(axes)
    return left @ right
