"""The shape of one heart at end-diastole, and the contraction of its parts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from planewise.phantoms.heart import tables
from planewise.phantoms.heart.groups import GROUPS
from planewise.phantoms.heart.patient import Patient
from planewise.phantoms.heart.population import UNLABELLED, Population
from planewise.phantoms.heart.surfaces import (
    APICAL,
    DEPTH,
    ELEVATION,
    PHI,
    BasePlane,
    Surfaces,
    enclosed_volume,
)

#: Thickness of the right ventricle's free wall, mm.
RIGHT_WALL = 3.0


@dataclass(frozen=True)
class HeartShape:
    """The properties in which hearts differ. The axes of tables are `LEVEL` and `PHI`; angles around the long axis are in
    radians."""

    radius: float
    """Radius of the left ventricle at the equator, end-diastole, mm"""
    apical_length: float
    """Distance from the equator to the tip of the cavity, mm"""
    basal_length: float
    """Distance from the equator to the mitral plane, mm"""
    wall: np.ndarray
    """End-diastolic wall thickness, mm"""
    strength: np.ndarray
    """Contraction of each part of the wall; 1 is normal, 0 an infarct"""
    dents: np.ndarray
    """Relative deviation of the left ventricle from a smooth egg"""
    right_depth: float
    """Depth of the right ventricle in front of the septum, end-diastole, mm"""
    right_angle: float
    """Deepest point of the right ventricle near the apex, through which the four-chamber plane passes"""
    right_form: np.ndarray
    """Depth of the right ventricle as a share of `right_depth`"""
    fat: np.ndarray
    """Thickness of the fat around the heart, mm; negative if there is no fat, so that no thin rim of fat appears"""
    left_tilt: tuple[float, float]
    """Slopes of the mitral plane towards septum and inferior wall"""
    right_tilt: float
    """Slope of the right ventricle's base, which is higher in front, at the pulmonary valve"""
    left_descent: float
    """Movement of the mitral plane towards the apex in systole, mm"""
    right_descent: float
    """Movement of the tricuspid plane, mm"""
    radial_shortening: float
    """Relative radial shortening of the left ventricle at end-systole, for a wall with normal contraction"""
    right_shortening: float
    """Relative loss of depth of the right ventricle at end-systole"""
    papillary: np.ndarray
    """Papillary muscles: rows of angle, share of the radius, and thickness (mm)"""

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        patient: Patient,
        population: Population = UNLABELLED,
    ) -> HeartShape:
        """Sample a shape with the patient's volumes and ejection fractions.

        Args:
            rng: generator, which is used in a fixed order.
            patient: the patient, with group, volumes and wall thickness.
            population: how shapes vary.
        """
        # a separate generator, so that the draws for the rest of the shape stay the same
        own = rng.spawn(1)[0]
        taper = own.uniform(*population.right_taper)
        ends = np.radians(own.uniform(*population.right_end))
        spread = population.shape
        roundness = GROUPS[patient.group].roundness * np.exp(rng.normal(0, 0.06 * spread))
        length = 88 * (patient.lv_edv / 135) ** (1 / 3) / roundness
        basal = length * rng.uniform(0.24, 0.32)
        thinning = (1 - own.uniform(*population.apical_thinning) * np.sin(ELEVATION) ** 2)[:, None]
        unevenness = 1 + 0.06 * spread * np.cos(PHI) + tables.harmonics(rng, range(1, 4), 0.05 * spread)
        wall = patient.wall * thinning * unevenness
        strength = 1 + tables.harmonics(rng, range(1, 3), 0.08 * spread)
        if patient.group == "HCM":
            wall = wall + tables.hypertrophy(rng)
        if patient.group == "MINF":
            scar = tables.scar(rng)
            wall = wall * (1 - 0.45 * scar)
            strength = strength * (1 - scar * rng.uniform(0.85, 1.1))
        angle = np.radians(rng.normal(30, 5 * spread))
        shape = cls(
            radius=25.0,
            apical_length=length - basal,
            basal_length=basal,
            wall=np.maximum(wall, 3.0),
            strength=strength,
            dents=tables.harmonics(rng, range(2, 5), 0.025 * spread),
            right_depth=35.0,
            right_angle=angle,
            right_form=tables.right_form(rng, angle, ends, spread, taper)
            * (1 + tables.harmonics(own, range(2, 6), population.right_dents)),
            fat=own.uniform(*population.heart_fat) * tables.fat(rng, patient),
            left_tilt=(rng.normal(0, 0.07 * spread), rng.normal(0, 0.07 * spread)),
            right_tilt=rng.uniform(*population.right_tilt),
            left_descent=length * (0.03 + 0.20 * patient.lv_ef),
            right_descent=6 + 27 * patient.rv_ef,
            radial_shortening=0.3,
            right_shortening=0.3,
            papillary=np.array(
                [
                    [
                        np.radians(rng.normal(angle, 9 * spread)),
                        rng.uniform(0.68, 0.80),
                        rng.uniform(*population.papillary),
                    ]
                    for angle in (-128, 118)
                ]
            ),
        )
        return _with_volumes(shape, patient)

    def left_base(self, squeeze: float) -> BasePlane:
        """The mitral plane at a contraction between 0 (end-diastole) and 1 (end-systole)."""
        return BasePlane(-self.basal_length + self.left_descent * squeeze, *self.left_tilt)

    def right_base(self, squeeze: float) -> BasePlane:
        """The plane through the tricuspid and pulmonary valves."""
        return BasePlane(-self.basal_length + 3 + self.right_descent * squeeze, 0.0, self.right_tilt)

    def endocardium(self, squeeze: float) -> np.ndarray:
        """Inner surface of the left ventricle, as a table, mm."""
        apical = 1 / np.hypot(np.cos(ELEVATION) / self.radius, np.sin(ELEVATION) / self.apical_length)
        basal = self.radius * np.sqrt(np.maximum(1 - 0.18 * (DEPTH / self.basal_length) ** 2, 0.55))
        resting = np.where(APICAL, apical, basal)[:, None] * (1 + self.dents)
        # the tip hardly moves, because its wall thickens inwards and its outside stays in place
        inward = self.strength * (1 - 0.78 * np.sin(ELEVATION) ** 2)[:, None]
        return resting * (1 - np.minimum(self.radial_shortening * squeeze * inward, 0.92))

    def thickness(self, squeeze: float) -> np.ndarray:
        """Wall thickness, as a table, mm. Muscle keeps its volume, so it thickens; an infarct does not thicken."""
        if squeeze == 0:
            return self.wall
        resting, now = self.endocardium(0), self.endocardium(squeeze)
        volume = enclosed_volume(resting + self.wall, resting, self.left_base(0), steps=4)
        share = np.clip(self.strength, 0.1, 1)

        def surplus(factor: float) -> float:
            wall = self.wall * (1 + (factor - 1) * share)
            return enclosed_volume(now + wall, now, self.left_base(squeeze), steps=4) - volume

        return self.wall * (1 + (_root(surplus, 0.6, 4.0) - 1) * share)

    def surfaces(self, squeeze: float) -> Surfaces:
        """All surfaces at a contraction between 0 (end-diastole) and 1 (end-systole)."""
        endocardium = self.endocardium(squeeze)
        epicardium = endocardium + self.thickness(squeeze)
        right = self.right_wall(squeeze, epicardium)
        there = self.right_form > 0
        outer = np.maximum(right + np.where(there, RIGHT_WALL + 1.2 * squeeze, 0), epicardium)
        outline = tables.smooth_around(outer) + self.fat
        return Surfaces(
            endocardium, epicardium, right, outer, outline, self.left_base(squeeze), self.right_base(squeeze)
        )

    def right_wall(self, squeeze: float, epicardium: np.ndarray) -> np.ndarray:
        """Inner surface of the right ventricle's free wall, as a table, mm. Outside the right ventricle, the surface is
        the epicardium."""
        resting = self.endocardium(0) + self.wall
        depth = self.right_depth * (1 - self.right_shortening * squeeze) * self.right_form
        # the septum thickens into the right ventricle, and the free wall partly follows the left ventricle
        free_wall = resting + depth + 0.35 * (epicardium - resting)
        return np.maximum(epicardium, np.where(self.right_form > 0, free_wall, 0))


def _with_volumes(shape: HeartShape, patient: Patient) -> HeartShape:
    """Scale the shape so that `enclosed_volume` returns the patient's volumes at end-diastole and end-systole."""

    def left(squeeze: float, **values: float) -> float:
        trial = replace(shape, **values)
        return enclosed_volume(trial.endocardium(squeeze), 0.0, trial.left_base(squeeze), steps=6)

    def right(squeeze: float, epicardium: np.ndarray, **values: float) -> float:
        trial = replace(shape, **values)
        return enclosed_volume(trial.right_wall(squeeze, epicardium), epicardium, trial.right_base(squeeze), steps=6)

    radius = _root(lambda value: left(0, radius=value) - patient.lv_edv, 8, 70)
    shape = replace(shape, radius=radius)
    wanted = patient.lv_edv * (1 - patient.lv_ef)
    shortening = _root(lambda value: wanted - left(1, radial_shortening=value), 0.0, 0.85)
    shape = replace(shape, radial_shortening=shortening)

    relaxed = shape.endocardium(0) + shape.wall
    depth = _root(lambda value: right(0, relaxed, right_depth=value) - patient.rv_edv, 3, 140)
    shape = replace(shape, right_depth=depth)
    contracted = shape.endocardium(1) + shape.thickness(1)
    wanted = patient.rv_edv * (1 - patient.rv_ef)
    shortening = _root(lambda value: wanted - right(1, contracted, right_shortening=value), -0.4, 0.9)
    return replace(shape, right_shortening=shortening)


def _root(excess, low: float, high: float) -> float:
    """The zero of an increasing function in an interval; if the interval contains no zero, the end of the interval that
    is nearer to the zero."""
    if excess(low) >= 0:
        return low
    if excess(high) <= 0:
        return high
    return brentq(excess, low, high, xtol=1e-3, rtol=1e-4)
