"""The shape of one heart at end-diastole, and the contraction of its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from planewise.workshop.phantoms.heart.population import GROUPS, Patient, Population
from planewise.workshop.phantoms.heart.surfaces import (
    ANGLES,
    APICAL,
    DEPTH,
    ELEVATION,
    LEVEL,
    PHI,
    BasePlane,
    Surfaces,
    enclosed_volume,
)
from planewise.workshop.phantoms.painting import Coordinates, ellipsoid

#: Thickness of the right ventricle's free wall, mm.
RIGHT_WALL = 3.0


def _wrap(angle: np.ndarray) -> np.ndarray:
    """Convert angles to the range (-pi, pi]."""
    return np.angle(np.exp(1j * angle))


def _bump(angle: float, width: float) -> np.ndarray:
    """A smooth bump over `PHI`, 1 at ``angle``."""
    return np.exp(-0.5 * (_wrap(PHI - angle) / width) ** 2)


def smooth_around(table: np.ndarray) -> np.ndarray:
    """Smooth the table around the axis, but never below its values, because fat fills the grooves between the ventricles."""
    shifts = range(-3, 4)
    weights = np.hanning(len(shifts) + 2)[1:-1]
    smooth = sum(w * np.roll(table, shift, axis=1) for w, shift in zip(weights / weights.sum(), shifts, strict=True))
    return np.maximum(smooth, table)


def harmonics(rng: np.random.Generator, orders: range, size: float) -> np.ndarray:
    """A smooth random table with a standard deviation of about ``size``; it fades to zero at the apex."""
    table = np.zeros((len(LEVEL), ANGLES))
    for order in orders:
        for twist in range(3):
            amplitude, start = rng.standard_normal(), rng.uniform(0, 2 * np.pi)
            table += amplitude * np.cos(order * PHI + twist * np.pi / 2 * LEVEL[:, None] + start)
    return table * size / np.sqrt(1.5 * len(orders)) * np.cos(ELEVATION)[:, None]


def hypertrophy(rng: np.random.Generator) -> np.ndarray:
    """Additional wall thickness, as a table, mm: mostly in the septum, sometimes all around, sometimes at the apex."""
    extra = max(rng.normal(8.5, 2.5), 3.0)
    kind = rng.choice(["septum", "around", "apex"], p=[0.65, 0.2, 0.15])
    angle, width = np.radians(rng.normal(-15, 20)), np.radians(rng.uniform(40, 65))
    if kind == "apex":
        return extra * 0.8 * np.sin(ELEVATION)[:, None] ** 1.5 * np.ones(ANGLES)
    along = 1 - 0.5 * np.sin(ELEVATION)[:, None] ** 2
    if kind == "around":
        return 0.7 * extra * along * (1 + 0.25 * np.cos(PHI) * np.cos(ELEVATION)[:, None])
    return extra * along * (0.15 + _bump(angle, width) * np.cos(ELEVATION)[:, None] ** 0.5)


def scar(rng: np.random.Generator) -> np.ndarray:
    """An infarct in the territory of one of the three coronary arteries, as a table, 0 to 1."""
    territory = str(rng.choice(["anterior", "inferior", "lateral"], p=[0.5, 0.32, 0.18]))
    angle = np.radians({"anterior": -50, "inferior": 95, "lateral": 175}[territory] + rng.normal(0, 12))
    around = _bump(angle, np.radians(rng.uniform(38, 58)))
    if territory == "anterior":
        along = 1 / (1 + np.exp(-(LEVEL - rng.uniform(-0.25, 0.1)) / 0.08))[:, None]
        # the anterior artery goes around the apex
        tip = np.clip((LEVEL - 0.55) / 0.25, 0, 1)[:, None]
        return np.clip(np.maximum(around * along, 0.9 * tip), 0, 1)
    along = 1 / (1 + np.exp((LEVEL - rng.uniform(0.3, 0.6)) / 0.1))[:, None]
    return np.clip(1.15 * around * along, 0, 1)


def right_form(rng: np.random.Generator, angle: float, end: float, spread: float, taper: float) -> np.ndarray:
    """Depth of the right ventricle, as a table: 0 outside the ventricle, and about 1 at its deepest point.

    At mid level, the ventricle spans the septum between the two insertions, and is deepest at its lowest part (the acute
    margin). Towards the base, it extends around the front (the outflow tract). It ends before the left ventricle's apex.
    """
    end = end + np.radians(rng.normal(0, 3 * spread))
    insertions = np.radians(rng.normal(0, 4 * spread, 2))
    basal = np.clip(-DEPTH / 40, 0, 1)
    apical = np.clip(ELEVATION / end, 0, 1)
    peak = np.radians(16 - 28 * basal) + (angle - np.radians(16)) * apical
    anterior = np.radians(-62 - 38 * basal + 34 * apical) + insertions[0]
    inferior = np.maximum(np.radians(66 - 10 * basal + 2 * apical) + insertions[1], peak + np.radians(22))
    turn = _wrap(PHI - peak[:, None])
    width = np.where(turn > 0, (inferior - peak)[:, None], (peak - anterior)[:, None])
    around = np.clip(1 - (turn / width) ** 2, 0, 1) ** rng.uniform(0.75, 1.05)
    along = np.where(APICAL, np.clip(1 - apical**2, 0, 1) ** taper, 1 - 0.12 * basal)
    return around * along[:, None]


def fat(rng: np.random.Generator, patient: Patient) -> np.ndarray:
    """Thickness of the fat around the heart, as a table, mm. Most fat is over the right ventricle and in the grooves; it is
    negative where there is no fat, so that no thin rim of fat appears."""
    amount = np.clip(rng.normal(3.0 + 0.16 * (patient.body_mass_index - 24), 0.9), 1.2, 7)
    over_right = 0.7 * _bump(np.radians(20), np.radians(70)) + 0.8 * _bump(np.radians(-75), np.radians(25))
    grooves = 1.2 * np.clip(-LEVEL - 0.15, 0, 1)[:, None]
    return amount * (over_right + grooves + 0.6 * harmonics(rng, range(1, 5), 0.5)) - 0.5


@dataclass(frozen=True)
class HeartShape:
    """The properties in which hearts differ: lengths in mm at end-diastole, tables with the axes `LEVEL` and `PHI`, and
    angles around the long axis in radians. A contraction (``squeeze``) is 0 at end-diastole and 1 at end-systole."""

    radius: float  # of the left ventricle at the equator
    apical_length: float  # from the equator to the tip of the cavity
    basal_length: float  # from the equator to the mitral plane
    wall: np.ndarray  # wall thickness
    strength: np.ndarray  # contraction of each part of the wall; 1 is normal, 0 an infarct
    dents: np.ndarray  # relative deviation of the left ventricle from a smooth egg
    right_depth: float  # depth of the right ventricle in front of the septum
    right_angle: float  # of the right ventricle's deepest point near the apex, where the four-chamber plane passes
    right_form: np.ndarray  # depth of the right ventricle as a share of `right_depth`
    fat: np.ndarray  # thickness of the fat around the heart, see `fat`
    left_tilt: tuple[float, float]  # slopes of the mitral plane towards septum and inferior wall
    right_tilt: float  # slope of the right ventricle's base, which is higher in front, at the pulmonary valve
    left_descent: float  # movement of the mitral plane towards the apex in systole
    right_descent: float  # movement of the tricuspid plane
    radial_shortening: float  # relative, of the left ventricle at end-systole, for a wall that contracts normally
    right_shortening: float  # relative loss of depth of the right ventricle at end-systole
    papillary: np.ndarray  # rows of angle, share of the radius, and thickness

    @classmethod
    def sample(cls, rng: np.random.Generator, patient: Patient, population: Population) -> HeartShape:
        """Sample a shape with the patient's volumes, ejection fractions and wall; the population says how shapes vary."""
        # a separate generator, so that the draws for the rest of the shape stay the same
        own = rng.spawn(1)[0]
        taper = own.uniform(*population.right_taper)
        ends = np.radians(own.uniform(*population.right_end))
        spread = population.shape
        roundness = GROUPS[patient.group].roundness * np.exp(rng.normal(0, 0.06 * spread))
        length = 88 * (patient.lv_edv / 135) ** (1 / 3) / roundness
        basal = length * rng.uniform(0.24, 0.32)
        thinning = (1 - own.uniform(*population.apical_thinning) * np.sin(ELEVATION) ** 2)[:, None]
        unevenness = 1 + 0.06 * spread * np.cos(PHI) + harmonics(rng, range(1, 4), 0.05 * spread)
        wall = patient.wall * thinning * unevenness
        strength = 1 + harmonics(rng, range(1, 3), 0.08 * spread)
        if patient.group == "HCM":
            wall = wall + hypertrophy(rng)
        if patient.group == "MINF":
            infarct = scar(rng)
            wall = wall * (1 - 0.45 * infarct)
            strength = strength * (1 - infarct * rng.uniform(0.85, 1.1))
        angle = np.radians(rng.normal(30, 5 * spread))

        def muscle(angle: float) -> list[float]:
            turned = np.radians(rng.normal(angle, 9 * spread))
            return [turned, rng.uniform(0.68, 0.80), rng.uniform(*population.papillary)]

        shape = cls(
            radius=25.0,
            apical_length=length - basal,
            basal_length=basal,
            wall=np.maximum(wall, 3.0),
            strength=strength,
            dents=harmonics(rng, range(2, 5), 0.025 * spread),
            right_depth=35.0,
            right_angle=angle,
            right_form=right_form(rng, angle, ends, spread, taper)
            * (1 + harmonics(own, range(2, 6), population.right_dents)),
            fat=own.uniform(*population.heart_fat) * fat(rng, patient),
            left_tilt=(rng.normal(0, 0.07 * spread), rng.normal(0, 0.07 * spread)),
            right_tilt=rng.uniform(*population.right_tilt),
            left_descent=length * (0.03 + 0.20 * patient.lv_ef),
            right_descent=6 + 27 * patient.rv_ef,
            radial_shortening=0.3,
            right_shortening=0.3,
            papillary=np.array([muscle(-128), muscle(118)]),
        )
        return _with_volumes(shape, patient)

    def left_base(self, squeeze: float) -> BasePlane:
        """The mitral plane at a contraction."""
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
        """All surfaces at a contraction."""
        endocardium = self.endocardium(squeeze)
        epicardium = endocardium + self.thickness(squeeze)
        right = self.right_wall(squeeze, epicardium)
        there = self.right_form > 0
        outer = np.maximum(right + np.where(there, RIGHT_WALL + 1.2 * squeeze, 0), epicardium)
        outline = smooth_around(outer) + self.fat
        bases = self.left_base(squeeze), self.right_base(squeeze)
        return Surfaces(endocardium, epicardium, right, outer, outline, *bases)

    def right_wall(self, squeeze: float, epicardium: np.ndarray) -> np.ndarray:
        """Inner surface of the right ventricle's free wall, as a table, mm; outside the right ventricle, the epicardium."""
        resting = self.endocardium(0) + self.wall
        depth = self.right_depth * (1 - self.right_shortening * squeeze) * self.right_form
        # the septum thickens into the right ventricle, and the free wall partly follows the left ventricle
        free_wall = resting + depth + 0.35 * (epicardium - resting)
        return np.maximum(epicardium, np.where(self.right_form > 0, free_wall, 0))


def _with_volumes(shape: HeartShape, patient: Patient) -> HeartShape:
    """Scale the shape so that `enclosed_volume` returns the patient's volumes at end-diastole and end-systole."""

    def left(trial: HeartShape, squeeze: float) -> float:
        return enclosed_volume(trial.endocardium(squeeze), 0.0, trial.left_base(squeeze), steps=6)

    def right(trial: HeartShape, squeeze: float) -> float:
        return enclosed_volume(trial.right_wall(squeeze, outside), outside, trial.right_base(squeeze), steps=6)

    def fitted(
        name: str, volume: Callable[[HeartShape, float], float], squeeze: int, wanted: float, low: float, high: float
    ) -> HeartShape:
        # a ventricle grows with its size, and shrinks with its shortening
        sign = -1 if squeeze else 1
        found = _root(lambda value: sign * (volume(replace(shape, **{name: value}), squeeze) - wanted), low, high)
        return replace(shape, **{name: found})

    shape = fitted("radius", left, 0, patient.lv_edv, 8, 70)
    shape = fitted("radial_shortening", left, 1, patient.lv_edv * (1 - patient.lv_ef), 0.0, 0.85)
    outside = shape.endocardium(0) + shape.wall
    shape = fitted("right_depth", right, 0, patient.rv_edv, 3, 140)
    outside = shape.endocardium(1) + shape.thickness(1)
    return fitted("right_shortening", right, 1, patient.rv_edv * (1 - patient.rv_ef), -0.4, 0.9)


def _root(excess: Callable[[float], float], low: float, high: float) -> float:
    """The zero of an increasing function in an interval; if it contains none, the end that is nearer to the zero."""
    if excess(low) >= 0:
        return low
    if excess(high) <= 0:
        return high
    return brentq(excess, low, high, xtol=1e-3, rtol=1e-4)


def atria(patient: Patient, shape: HeartShape, at: Coordinates, squeeze: float) -> tuple[np.ndarray, np.ndarray]:
    """Depths inside the left and the right atrium, mm, positive inside, at points in the heart's frame.

    The roofs do not move and the floors follow the valve planes, so the atria fill when the ventricles empty. The floors
    extend beyond the valve planes, where the ventricles are painted over them. The two atria overlap at the septum.
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
