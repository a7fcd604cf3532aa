"""What was measured of a segmented heart, as one record, from which every file, page and table is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from planewise.findings import FLAG, Finding
from planewise.metrics.heart_volumes import HeartVolumes
from planewise.own_exams.corrected_masks import CorrectedMask
from planewise.own_exams.heart_bundles import STRUCTURES

VENTRICLES = ("LV", "RV")
#: The quantity by which values per m2 are divided.
BODY_SURFACE = "body surface"


@dataclass(frozen=True)
class Number:
    """A number that people see."""

    name: str
    """such as ``LV volume at end-systole``, see `HeartVolumes.number`"""
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
    """Volumes of an exam, with everything that was found out about them."""

    exam: str
    files: Sequence[str]
    """name of each phase's files, in temporal order; the phases' own names are in `volumes`"""
    volumes: HeartVolumes
    corrected: Mapping[int, CorrectedMask]
    """the masks that a person corrected, by phase"""
    surface: float | None
    """body surface, m2, by Mosteller's formula; None if it is unknown"""
    findings: Sequence[Finding]

    @property
    def several(self) -> bool:
        return len(self.files) > 1

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
        found = self.volumes
        moments = (found.end_diastole, found.end_systole)
        match quantity:
            case "volume":
                value, unit, sources = found.volumes[structure][phase], "ml", ["volume"]
            case "mass":
                value, unit, sources = found.masses[phase], "g", ["volume", "mass"]
            case "stroke volume":
                value, unit, sources = found.stroke_volume(structure), "ml", ["volume", quantity]
            case _:
                value, unit, sources = found.ejection_fraction(structure), "%", ["volume", "stroke volume", quantity]
        phases = moments if phase is None else (phase,)
        called = {
            name + at
            for source in sources
            for name in (source, f"{structure} {source}")
            for at in ("", *(f" at {moment}" for number in phases for moment in found.moments(number)))
        }
        return Number(
            found.number(structure, quantity, phase),
            structure,
            quantity,
            value,
            unit,
            phases,
            tuple(flag for flag in self.flags if not called.isdisjoint(_marks(flag))),
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
        if self.several and phase == self.volumes.end_systole:
            numbers += [
                self.number(name, quantity)
                for quantity in ("stroke volume", "ejection fraction")
                for name in VENTRICLES
            ]
        return numbers

    @cached_property
    def numbers(self) -> list[Number]:
        """All numbers."""
        return [number for phase in range(len(self.files)) for number in self.at(phase)]


def _marks(flag: Finding) -> tuple[str, ...]:
    """The names of the numbers that a finding concerns; a flag of the whole exam concerns all volumes."""
    if flag.marks or flag.level != FLAG:
        return flag.marks
    return (flag.subject or "volume",)
