"""What was measured of a segmented heart, as one record, from which every file, page and table is written."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from planewise.findings import FLAG, Finding
from planewise.own_exams.masks import STRUCTURES, CorrectedMask
from planewise.preprocessing.cardiac_features import MYOCARDIAL_DENSITY, slices_ml

VENTRICLES = ("LV", "RV")
#: The quantity by which values per m2 are divided.
BODY_SURFACE = "body surface"
#: Unit of each quantity, and the quantities from which it is computed.
_QUANTITIES = {
    "volume": ("ml", ("volume",)),
    "mass": ("g", ("volume", "mass")),
    "stroke volume": ("ml", ("volume", "stroke volume")),
    "ejection fraction": ("%", ("volume", "stroke volume", "ejection fraction")),
}


@dataclass(frozen=True)
class Number:
    """A number that people see."""

    name: str
    """such as ``LV volume at end-systole``, see `HeartResults.called`"""
    structure: str
    quantity: str
    """``volume``, ``mass``, ``stroke volume`` or ``ejection fraction``"""
    value: float
    """NaN if it is unknown"""
    unit: str
    phases: tuple[int, ...]
    """the phases whose masks it is computed from"""
    flags: tuple[Finding, ...]
    """what concerns it, or a number from which it is computed"""
    corrected: tuple[str, ...]
    """the files of the masks behind it that a person corrected"""

    @property
    def marked(self) -> bool:
        """Whether nobody should use it unchecked; other flags say only that it is coarse."""
        return any(flag.level == FLAG for flag in self.flags)


@dataclass(frozen=True)
class HeartResults:
    """Volumes of a heart over its cycle, values derived from them, and everything that was found out about them."""

    volumes: Mapping[str, Sequence[float]]
    """maps each structure to its volumes in all phases, ml, in the order of time"""
    areas: Mapping[str, Sequence[Sequence[float]]]
    """maps each structure to its area in all slices of all phases, mm2: ``areas["RV"][phase][slice]``"""
    thickness: Sequence[float]
    """thickness with which each slice counts, mm"""
    end_diastole: int
    end_systole: int
    """numbers of the phases in which the LV is largest and smallest, see `heart_volumes`"""
    names: Sequence[str] = ()
    """names of the phases"""
    times: Sequence[float] | None = None
    """place of each phase in the cycle, in [0, 1); None if it is unknown. Then the phases count as evenly spaced"""
    corrected: Mapping[int, CorrectedMask] = field(default_factory=dict)
    """the masks that a person corrected, by phase"""
    exam: str = ""
    files: Sequence[str] = ()
    """name of each phase's files"""
    surface: float | None = None
    """body surface, m2, by Mosteller's formula; None if it is unknown"""
    findings: Sequence[Finding] = ()

    @property
    def count(self) -> int:
        """Number of phases."""
        return len(self.volumes["LV"])

    @property
    def several(self) -> bool:
        return self.count > 1

    def moments(self, phase: int) -> list[str]:
        """What a phase is called: ``end-diastole`` and ``end-systole`` if it is one of them, otherwise by its name. The only
        phase counts as end-diastole."""
        systole = self.end_systole if self.several else None
        known = (("end-diastole", self.end_diastole), ("end-systole", systole))
        return [moment for moment, number in known if number == phase] or [self.names[phase]]

    def called(self, structure: str, quantity: str, phase: int | None = None) -> str:
        """The name of a number, ``LV volume at end-systole``; without the moment if it is from two phases or the only
        one."""
        if phase is None or not self.several:
            return f"{structure} {quantity}"
        return f"{structure} {quantity} at {self.moments(phase)[0]}"

    def stroke_volume(self, ventricle: str) -> float:
        """The ventricle's volume at end-diastole minus its volume at end-systole, ml."""
        return self.volumes[ventricle][self.end_diastole] - self.volumes[ventricle][self.end_systole]

    def ejection_fraction(self, ventricle: str) -> float:
        """Stroke volume as a percentage of the volume at end-diastole; NaN if that volume is zero."""
        largest = self.volumes[ventricle][self.end_diastole]
        return 100 * self.stroke_volume(ventricle) / largest if largest > 0 else math.nan

    @property
    def masses(self) -> list[float]:
        """Mass of the myocardium in every phase, g (1.05 g/ml)."""
        return [volume * MYOCARDIAL_DENSITY for volume in self.volumes["myocardium"]]

    @property
    def mass(self) -> float:
        """Mass of the myocardium at end-diastole, g (1.05 g/ml)."""
        return self.masses[self.end_diastole]

    @cached_property
    def flags(self) -> list[Finding]:
        """What concerns a number, or is doubtful otherwise."""
        return [found for found in dict.fromkeys(self.findings) if found.level == FLAG or found.marks]

    @cached_property
    def notes(self) -> list[Finding]:
        """Further remarks."""
        return [found for found in dict.fromkeys(self.findings) if found not in self.flags]

    @property
    def size_flags(self) -> list[Finding]:
        """The flags of the body surface, which is the same in all phases."""
        return [flag for flag in self.flags if BODY_SURFACE in flag.marks]

    def number(self, structure: str, quantity: str, phase: int | None = None) -> Number:
        """A number: a volume (ml) or mass (g) at a phase; a stroke volume (ml) or ejection fraction (%) of the heartbeat."""
        phases = (self.end_diastole, self.end_systole) if phase is None else (phase,)
        match quantity:
            case "volume":
                value = self.volumes[structure][phase]
            case "mass":
                value = self.masses[phase]
            case "stroke volume":
                value = self.stroke_volume(structure)
            case _:
                value = self.ejection_fraction(structure)
        unit, sources = _QUANTITIES[quantity]
        names = {
            name + at
            for source in sources
            for name in (source, f"{structure} {source}")
            for at in ("", *(f" at {moment}" for number in phases for moment in self.moments(number)))
        }
        return Number(
            self.called(structure, quantity, phase),
            structure,
            quantity,
            value,
            unit,
            phases,
            tuple(flag for flag in self.flags if not names.isdisjoint(_marks(flag))),
            tuple(self.corrected[number].file.name for number in phases if number in self.corrected),
        )

    def per_surface(self, number: Number) -> Number:
        """A number per m2 of body surface."""
        flags = (*number.flags, *self.size_flags)
        value = number.value / (self.surface or np.nan)
        return replace(number, value=value, unit=f"{number.unit}/m2", flags=flags)

    def at(self, phase: int) -> list[Number]:
        """The numbers in a phase's row of the table of phases; values from two phases are in the row of end-systole."""
        numbers = [self.number(name, "volume", phase) for name in STRUCTURES.values()]
        numbers.append(self.number("myocardium", "mass", phase))
        if self.several and phase == self.end_systole:
            of_both = ("stroke volume", "ejection fraction")
            numbers += [self.number(name, quantity) for quantity in of_both for name in VENTRICLES]
        return numbers

    @cached_property
    def numbers(self) -> list[Number]:
        """All numbers."""
        return [number for phase in range(self.count) for number in self.at(phase)]


def _marks(flag: Finding) -> tuple[str, ...]:
    """The names of the numbers that a finding concerns; a flag of the whole exam concerns all volumes."""
    if flag.marks or flag.level != FLAG:
        return flag.marks
    return (flag.subject or "volume",)


def heart_volumes(
    labels: Sequence[np.ndarray],
    affines: Sequence[np.ndarray],
    moments: Collection[int] | None = None,
    thickness: np.ndarray | None = None,
) -> HeartResults:
    """Volumes of the structures in every phase, in the order of time.

    Args:
        labels: label map of each phase, ``(i, j, slices)``, with the values of `STRUCTURES`.
        affines: affine of each label map, ``(4, 4)``, mm.
        moments: numbers of the phases that may be end-diastole or end-systole; None for all.
        thickness: thickness with which each slice counts, mm, ``(slices,)``; None for evenly spaced slices.
    """
    pixel = float(np.linalg.norm(np.cross(affines[0][:3, 0], affines[0][:3, 1])))
    areas, volumes = {}, {}
    for value, name in STRUCTURES.items():
        counts = [(phase == value).sum(axis=(0, 1)) for phase in labels]
        areas[name] = [(pixel * count).tolist() for count in counts]
        volumes[name] = [slices_ml(count, affine, thickness) for count, affine in zip(counts, affines, strict=True)]
    if thickness is None:
        thickness = np.full(labels[0].shape[2], np.linalg.norm(affines[0][:3, 2]))
    phases = sorted(range(len(labels)) if moments is None else moments)
    largest, smallest = (choose(phases, key=volumes["LV"].__getitem__) for choose in (max, min))
    return HeartResults(volumes, areas, thickness.tolist(), largest, smallest)


def body_surface(height: float, weight: float) -> float:
    """Body surface area, m2, of a height in cm and a weight in kg (Mosteller, N Engl J Med 317:1098, 1987)."""
    return math.sqrt(height * weight / 3600)
