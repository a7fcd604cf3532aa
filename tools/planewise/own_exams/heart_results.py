"""What was measured of a segmented heart, as one record, and the tables that are written from it, for people and programs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from planewise.findings import FLAG, Finding, sentences
from planewise.own_exams.archive import Summary
from planewise.own_exams.masks import STRUCTURES, CorrectedMask
from planewise.preprocessing.cardiac_features import MYOCARDIAL_DENSITY, slices_ml
from planewise.preprocessing.exam_name import volume_name
from planewise.reports.page_style import CORRECTED, FLAGGED
from planewise.reports.research_only import RESEARCH_ONLY

VENTRICLES = ("LV", "RV")
#: Unit of each quantity, and the quantities from which it is computed.
_QUANTITIES = {
    "volume": ("ml", ("volume",)),
    "mass": ("g", ("volume", "mass")),
    "stroke volume": ("ml", ("volume", "stroke volume")),
    "ejection fraction": ("%", ("volume", "stroke volume", "ejection fraction")),
}
_OF_TWO_PHASES = ("stroke volume", "ejection fraction")
#: Ends of the columns' names in tables, by quantity.
_COLUMNS = {
    "volume": "ml",
    "mass": "g",
    "stroke volume": "stroke_volume_ml",
    "ejection fraction": "ejection_fraction_percent",
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
    def mass(self) -> float:
        """Mass of the myocardium at end-diastole, g (1.05 g/ml)."""
        return self.volumes["myocardium"][self.end_diastole] * MYOCARDIAL_DENSITY

    @cached_property
    def flags(self) -> list[Finding]:
        """What concerns a number, or is doubtful otherwise."""
        return [found for found in dict.fromkeys(self.findings) if found.level == FLAG or found.marks]

    @cached_property
    def notes(self) -> list[Finding]:
        """Further remarks."""
        return [found for found in dict.fromkeys(self.findings) if found not in self.flags]

    def number(self, structure: str, quantity: str, phase: int | None = None) -> Number:
        """A number: a volume (ml) or mass (g) at a phase; a stroke volume (ml) or ejection fraction (%) of the heartbeat."""
        phases = (self.end_diastole, self.end_systole) if phase is None else (phase,)
        match quantity:
            case "volume":
                value = self.volumes[structure][phase]
            case "mass":
                value = self.volumes["myocardium"][phase] * MYOCARDIAL_DENSITY
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

    def at(self, phase: int) -> list[Number]:
        """The numbers in a phase's row of the table of phases; values from two phases are in the row of end-systole."""
        numbers = [self.number(name, "volume", phase) for name in STRUCTURES.values()]
        numbers.append(self.number("myocardium", "mass", phase))
        if self.several and phase == self.end_systole:
            numbers += [self.number(name, quantity) for quantity in _OF_TWO_PHASES for name in VENTRICLES]
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


def shown(number: Number) -> str:
    """A number with its unit and marks."""
    if not np.isfinite(number.value):
        return "-"
    marks = f" {CORRECTED}" * bool(number.corrected) + f" {FLAGGED}" * number.marked
    return f"{number.value:.0f} {number.unit}{marks}"


def volume_table(results: HeartResults) -> tuple[list[str], list[list[str]]]:
    """The header and rows of the volumes; a single phase has no end-systole."""
    several = results.several
    header = ["structure", "end-diastole" if several else "volume", "end-systole", *_OF_TWO_PHASES, "mass"]
    rows: list[list[Number | None]] = []
    for name in VENTRICLES:
        of_beat = [results.number(name, "volume", results.end_systole)]
        of_beat += [results.number(name, quantity) for quantity in _OF_TWO_PHASES]
        rows.append([results.number(name, "volume", results.end_diastole), *(of_beat if several else [None] * 3), None])
    muscle = [results.number("myocardium", quantity, results.end_diastole) for quantity in ("volume", "mass")]
    rows.append([muscle[0], None, None, None, muscle[1]])
    return header, [
        [name, *("-" if each is None else shown(each) for each in row)]
        for name, row in zip((*VENTRICLES, "myocardium"), rows, strict=True)
    ]


def which_phases(results: HeartResults) -> list[str]:
    """A sentence about the phases that the table shows; none for a single phase."""
    if not results.several:
        return []
    diastole, systole = results.names[results.end_diastole], results.names[results.end_systole]
    some = 0 < len(results.corrected) < len(results.files)
    among = ", among those with a corrected mask and the network's own end-diastole and end-systole" * some
    return [
        f"End-diastole is {diastole} and end-systole is {systole}: phases in which the LV is largest and smallest{among}. "
        "Both ventricles are measured in them, so that their stroke volumes belong to the same part of the heartbeat. The "
        "mass is that at end-diastole."
    ]


def volume_columns(results: HeartResults, items: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[object]]:
    """Columns of the table of phases; values from two phases are in the row of end-systole."""
    phases = range(len(items))
    moments = [""] * len(items)
    if results.several:
        moments[results.end_diastole], moments[results.end_systole] = "end-diastole", "end-systole"
    rows = [{f"{each.structure}_{_COLUMNS[each.quantity]}": each for each in results.at(phase)} for phase in phases]
    keys = [*(f"{name}_ml" for name in STRUCTURES.values()), "myocardium_g"]
    keys += [f"{name}_{_COLUMNS[quantity]}" for quantity in _OF_TWO_PHASES for name in VENTRICLES]
    columns: dict[str, Sequence[object]] = {"phase": [item.get("phase", "") for item in items], "moment": moments}
    for key in keys:
        values = [row[key].value if key in row else np.nan for row in rows]
        columns[key] = [value if np.isfinite(value) else "" for value in values]
    concerned = [{flag for number in row.values() for flag in number.flags} for row in rows]
    masks = {phase: mask.file.name for phase, mask in results.corrected.items()}
    return columns | {
        "flagged": ["; ".join(key for key, number in row.items() if number.marked) for row in rows],
        "flags": ["; ".join(sentences(flag for flag in results.flags if flag in own)) for own in concerned],
        "corrected": ["; ".join(key for key, number in row.items() if number.corrected) for row in rows],
        "mask": [masks.get(phase, results.files[phase]) for phase in phases],
        "name": [volume_name(item) for item in items],
    }


def volume_content(results: HeartResults) -> dict[str, object]:
    """The content for programs."""
    several, names = results.several, results.files
    return {
        "note": RESEARCH_ONLY,
        "phases": list(names),
        "volumes_ml": {name: list(ml) for name, ml in results.volumes.items()},
        "end_diastole": names[results.end_diastole] if several else None,
        "end_systole": names[results.end_systole] if several else None,
        "moments_chosen_by": "largest and smallest LV" if several else None,
        "corrected": [
            {
                "phase": names[phase],
                "mask": mask.file.name,
                "numbers": [number.name for number in results.numbers if phase in number.phases],
            }
            for phase, mask in sorted(results.corrected.items())
        ],
        "stroke_volume_ml": {name: results.stroke_volume(name) if several else None for name in VENTRICLES},
        "ejection_fraction_percent": {
            name: results.ejection_fraction(name) if several else None for name in VENTRICLES
        },
        "myocardial_mass_g": results.mass,
        "flags": [
            {
                **flag.record(),
                "level": flag.level,
                "numbers": [number.name for number in results.numbers if flag in number.flags],
            }
            for flag in results.flags
        ],
        "remarks": [note.record() for note in results.notes],
    }


def volume_summary(results: HeartResults) -> Summary:
    """The exam's row in the table of an archive; the severity is the number of flags, and more without a heart."""
    several = results.several
    numbers: dict[str, Number] = {}
    for name in VENTRICLES:
        volume = results.number(name, "volume", results.end_diastole)
        if several:
            numbers[f"{name}_end_diastole_ml"] = volume
            numbers[f"{name}_end_systole_ml"] = results.number(name, "volume", results.end_systole)
            numbers |= {f"{name}_{_COLUMNS[quantity]}": results.number(name, quantity) for quantity in _OF_TWO_PHASES}
        else:  # its moment is unknown
            numbers[f"{name}_ml"] = volume
    numbers["myocardial_mass_g"] = results.number("myocardium", "mass", results.end_diastole)
    values = {key: number.value if np.isfinite(number.value) else None for key, number in numbers.items()}
    return Summary(
        {"phases": len(results.files), **values},
        [*results.flags, *results.notes],
        # what is no heart ranks first: if the mask is empty, few values can be flagged
        len(results.flags) + 1000.0 * any(flag.code == "mask-no-heart" for flag in results.flags),
        flagged=[key for key, number in numbers.items() if number.marked],
        corrected=[key for key, number in numbers.items() if number.corrected],
    )
