"""Random tables over `LEVEL` and `PHI` for the shape of a heart: unevenness, disease, right ventricle and fat."""

from __future__ import annotations

import numpy as np

from planewise.phantoms.heart.patient import Patient
from planewise.phantoms.heart.surfaces import ANGLES, APICAL, DEPTH, ELEVATION, LEVEL, PHI


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
    """Thickness of the fat around the heart, as a table, mm. Most fat is over the right ventricle and in the grooves."""
    amount = np.clip(rng.normal(3.0 + 0.16 * (patient.body_mass_index - 24), 0.9), 1.2, 7)
    over_right = 0.7 * _bump(np.radians(20), np.radians(70)) + 0.8 * _bump(np.radians(-75), np.radians(25))
    grooves = 1.2 * np.clip(-LEVEL - 0.15, 0, 1)[:, None]
    return amount * (over_right + grooves + 0.6 * harmonics(rng, range(1, 5), 0.5)) - 0.5
