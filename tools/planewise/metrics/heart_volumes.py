"""Volumes of a segmented heart, phase by phase."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planewise.preprocessing.cardiac_features import MYOCARDIAL_DENSITY, slices_ml


@dataclass(frozen=True)
class HeartVolumes:
    """Volumes of a heart over its cycle, and values derived from them.

    Attributes:
        volumes: maps each structure to its volumes in all phases, ml, in the order of time.
        areas: maps each structure to its area in all slices of all phases, mm2: ``areas["RV"][phase][slice]``.
        slice_distance: distance from one slice to the next, mm.
        end_diastole, end_systole: numbers of the phases in which the LV is largest and smallest, see `heart_volumes`.
        corrected: numbers of the phases whose masks a person corrected.
        thickness: thickness with which each slice counts, mm; None if the slices are evenly spaced.
        times: place of each phase in the cycle, in [0, 1); None if it is unknown. Then the phases count as evenly spaced.
        names: names of the phases.
    """

    volumes: Mapping[str, Sequence[float]]
    areas: Mapping[str, Sequence[Sequence[float]]]
    slice_distance: float
    end_diastole: int
    end_systole: int
    corrected: Collection[int] = ()
    thickness: Sequence[float] | None = None
    times: Sequence[float] | None = None
    names: Sequence[str] = ()

    def moments(self, phase: int) -> list[str]:
        """What a phase is called: ``end-diastole`` and ``end-systole`` if it is one of them, otherwise by its name. The only
        phase counts as end-diastole."""
        several = len(self.volumes["LV"]) > 1
        known = (("end-diastole", self.end_diastole), ("end-systole", self.end_systole if several else None))
        return [moment for moment, number in known if number == phase] or [self.names[phase]]

    def number(self, structure: str, quantity: str, phase: int | None = None) -> str:
        """The name of a number, ``LV volume at end-systole``; without the moment if it is from two phases or the only
        one."""
        if phase is None or len(self.volumes["LV"]) == 1:
            return f"{structure} {quantity}"
        return f"{structure} {quantity} at {self.moments(phase)[0]}"

    def stroke_volume(self, ventricle: str) -> float:
        """The ventricle's volume at end-diastole minus its volume at end-systole, ml."""
        return self.volumes[ventricle][self.end_diastole] - self.volumes[ventricle][self.end_systole]

    def ejection_fraction(self, ventricle: str) -> float:
        """Stroke volume as a percentage of the volume at end-diastole; NaN if that volume is zero."""
        largest = self.volumes[ventricle][self.end_diastole]
        return 100 * self.stroke_volume(ventricle) / largest if largest > 0 else math.nan

    def comparable(self, phase: int) -> list[int]:
        """The phases that can be compared with a phase: like its mask, a person corrected theirs, or left them unchanged."""
        own = phase in self.corrected
        return [other for other in range(len(self.volumes["LV"])) if (other in self.corrected) == own]

    @property
    def rv_smallest(self) -> int:
        """The phase in which the RV is smallest, among those that can be compared with end-systole."""
        return min(self.comparable(self.end_systole), key=self.volumes["RV"].__getitem__)

    @property
    def masses(self) -> list[float]:
        """Mass of the myocardium in every phase, g (1.05 g/ml)."""
        return [volume * MYOCARDIAL_DENSITY for volume in self.volumes["myocardium"]]

    @property
    def mass(self) -> float:
        """Mass of the myocardium at end-diastole, g (1.05 g/ml)."""
        return self.masses[self.end_diastole]


def body_surface(height: float, weight: float) -> float:
    """Body surface area, m2, by Mosteller's formula (N Engl J Med 317:1098, 1987).

    Args:
        height: cm.
        weight: kg.
    """
    return math.sqrt(height * weight / 3600)


def heart_volumes(
    labels: Sequence[np.ndarray],
    affines: Sequence[np.ndarray],
    structures: Mapping[int, str],
    moments: Collection[int] | None = None,
    thickness: np.ndarray | None = None,
) -> HeartVolumes:
    """Volumes of the structures in every phase.

    Args:
        labels: label map of each phase, ``(i, j, slices)``, in the order of time.
        affines: affine of each label map, ``(4, 4)``, mm.
        structures: maps label values to names; one name must be ``LV``.
        moments: numbers of the phases that may be end-diastole or end-systole; None for all.
        thickness: thickness with which each slice counts, mm, ``(slices,)``; None for evenly spaced slices.
    """
    pixel = float(np.linalg.norm(np.cross(affines[0][:3, 0], affines[0][:3, 1])))
    areas, volumes = {}, {}
    for value, name in structures.items():
        counts = [(phase == value).sum(axis=(0, 1)) for phase in labels]
        areas[name] = [(pixel * count).tolist() for count in counts]
        volumes[name] = [slices_ml(count, affine, thickness) for count, affine in zip(counts, affines, strict=True)]
    distance = float(np.linalg.norm(affines[0][:3, 2]))
    phases = sorted(range(len(labels)) if moments is None else moments)
    largest, smallest = (choose(phases, key=volumes["LV"].__getitem__) for choose in (max, min))
    own = None if thickness is None else thickness.tolist()
    return HeartVolumes(volumes, areas, distance, largest, smallest, thickness=own)
