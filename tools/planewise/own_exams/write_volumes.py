"""Write the measured volumes of an exam as tables, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from planewise.findings import sentences
from planewise.own_exams.heart_bundles import STRUCTURES, Summary, text
from planewise.own_exams.heart_results import VENTRICLES, HeartResults, Number
from planewise.preprocessing.exam_name import volume_name
from planewise.reports.page_style import CORRECTED, FLAGGED
from planewise.reports.research_only import RESEARCH_ONLY

Table = tuple[list[str], list[list[str]]]
_OF_TWO_PHASES = ("stroke volume", "ejection fraction")


def shown(number: Number) -> str:
    """A number with its unit and marks."""
    if not np.isfinite(number.value):
        return "-"
    marks = f" {CORRECTED}" * bool(number.corrected) + f" {FLAGGED}" * number.marked
    return text(number.value, 0, f" {number.unit}") + marks


def volume_table(results: HeartResults, indexed: bool = False) -> Table:
    """The header and rows of the volumes; a single phase has no end-systole. If ``indexed``, the values are per m2."""
    found, several = results.volumes, results.several
    header = ["structure", "end-diastole" if several else "volume", "end-systole", *_OF_TWO_PHASES, "mass"]
    rows: list[list[Number | None]] = []
    for name in VENTRICLES:
        of_beat = [results.number(name, "volume", found.end_systole)]
        of_beat += [results.number(name, quantity) for quantity in _OF_TWO_PHASES]
        rows.append([results.number(name, "volume", found.end_diastole), *(of_beat if several else [None] * 3), None])
    muscle = [results.number("myocardium", quantity, found.end_diastole) for quantity in ("volume", "mass")]
    rows.append([None if indexed else muscle[0], None, None, None, muscle[1]])
    cells = [
        ["-" if number is None else shown(results.per_surface(number) if indexed else number) for number in row]
        for row in rows
    ]
    table = [[name, *row] for name, row in zip((*VENTRICLES, "myocardium"), cells, strict=True)]
    if indexed:  # an ejection fraction has no value per m2
        place = header.index("ejection fraction")
        header, *table = (row[:place] + row[place + 1 :] for row in (header, *table))
    return header, table


def in_lines(table: Table) -> list[str]:
    """A table as lines for a terminal; cells with a dash are left out."""
    header, rows = table
    return [
        f"  {row[0]}: "
        + ", ".join(f"{name} {cell}" for name, cell in zip(header[1:], row[1:], strict=True) if cell != "-")
        for row in rows
    ]


def shown_flags(results: HeartResults) -> list[str]:
    """The flags in words, without those that concern only phases that the tables do not show."""
    shown_phases = {results.volumes.end_diastole, results.volumes.end_systole}
    hidden = {flag for number in results.numbers if not shown_phases & {*number.phases} for flag in number.flags}
    hidden -= {flag for number in results.numbers if shown_phases & {*number.phases} for flag in number.flags}
    return sentences(flag for flag in results.flags if flag not in hidden)


def which_phases(results: HeartResults) -> list[str]:
    """A sentence about the phases that the table shows; none for a single phase."""
    found = results.volumes
    if not results.several:
        return []
    some = 0 < len(found.corrected) < len(results.files)
    among = ", among those with a corrected mask and the network's own end-diastole and end-systole" * some
    return [
        f"End-diastole is {found.names[found.end_diastole]} and end-systole is {found.names[found.end_systole]}: the phases "
        f"in which the LV is largest and smallest{among}. Both ventricles are measured in these phases, so that their stroke "
        "volumes belong to the same part of the heartbeat. The mass is that at end-diastole."
    ]


def _column(number: Number) -> str:
    units = {
        "volume": "ml",
        "mass": "g",
        "stroke volume": "stroke_volume_ml",
        "ejection fraction": "ejection_fraction_percent",
    }
    return f"{number.structure}_{units[number.quantity]}"


def volume_columns(results: HeartResults, items: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[object]]:
    """Columns of the table of phases; values from two phases are in the row of end-systole."""
    found, phases = results.volumes, range(len(items))
    moments = [""] * len(items)
    if results.several:
        # last of all, the phases that the other columns refer to
        moments[found.rv_smallest] = "RV smallest"
        moments[found.end_diastole], moments[found.end_systole] = "end-diastole", "end-systole"
    rows = [{_column(number): number for number in results.at(phase)} for phase in phases]
    keys = [f"{name}_ml" for name in STRUCTURES.values()] + ["myocardium_g"]
    keys += [f"{name}_{what}" for what in ("stroke_volume_ml", "ejection_fraction_percent") for name in VENTRICLES]

    def column(key: str, share: float = 1.0) -> list[object]:
        values = [row[key].value / share if key in row else np.nan for row in rows]
        return [value if np.isfinite(value) else "" for value in values]

    columns: dict[str, Sequence[object]] = {"phase": [item.get("phase", "") for item in items], "moment": moments}
    columns |= {key: column(key) for key in keys}
    if surface := results.surface:
        indexed = [f"{name}_ml" for name in VENTRICLES] + ["myocardium_g"]
        indexed += [f"{name}_stroke_volume_ml" for name in VENTRICLES]
        columns["body_surface_m2"] = [surface] * len(items)
        columns |= {f"{key}_per_m2": column(key, surface) for key in indexed}
    of_size = ["body_surface_m2"] if surface and results.size_flags else []
    concerned = [{*results.size_flags, *(flag for number in row.values() for flag in number.flags)} for row in rows]
    columns |= {
        "flagged": ["; ".join([key for key, number in row.items() if number.marked] + of_size) for row in rows],
        "flags": ["; ".join(sentences(flag for flag in results.flags if flag in own)) for own in concerned],
        "corrected": ["; ".join(key for key, number in row.items() if number.corrected) for row in rows],
        "mask": [
            results.corrected[phase].file.name if phase in results.corrected else results.files[phase]
            for phase in phases
        ],
        "name": [volume_name(item) for item in items],
    }
    return columns


def volume_content(results: HeartResults) -> dict[str, object]:
    """The content for programs."""
    found, several, names = results.volumes, results.several, results.files
    return {
        "note": RESEARCH_ONLY,
        "phases": list(names),
        "volumes_ml": {name: list(ml) for name, ml in found.volumes.items()},
        "end_diastole": names[found.end_diastole] if several else None,
        "end_systole": names[found.end_systole] if several else None,
        "moments_chosen_by": "largest and smallest LV" if several else None,
        "corrected": [
            {
                "phase": names[phase],
                "mask": mask.file.name,
                "numbers": [number.name for number in results.numbers if phase in number.phases],
            }
            for phase, mask in sorted(results.corrected.items())
        ],
        "rv_smallest": names[found.rv_smallest] if several else None,
        "stroke_volume_ml": {name: found.stroke_volume(name) if several else None for name in VENTRICLES},
        "ejection_fraction_percent": {name: found.ejection_fraction(name) if several else None for name in VENTRICLES},
        "myocardial_mass_g": found.mass,
        "body_surface_m2": results.surface,
        "body_surface_formula": "Mosteller" if results.surface else None,
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
    """The exam's row in the table of an archive; the severity is the number of flags."""
    found, several = results.volumes, results.several
    values: dict[str, Any] = {"phases": len(results.files)}
    numbers: dict[str, Number] = {}
    for name in VENTRICLES:
        volume = results.number(name, "volume", found.end_diastole)
        if several:
            numbers[f"{name}_end_diastole_ml"] = volume
            numbers[f"{name}_end_systole_ml"] = results.number(name, "volume", found.end_systole)
            numbers[f"{name}_stroke_volume_ml"] = results.number(name, "stroke volume")
            numbers[f"{name}_ejection_fraction_percent"] = results.number(name, "ejection fraction")
        else:  # its moment is unknown
            numbers[f"{name}_ml"] = volume
    numbers["myocardial_mass_g"] = results.number("myocardium", "mass", found.end_diastole)
    values |= {key: number.value if np.isfinite(number.value) else None for key, number in numbers.items()}
    words = [
        f"LV {shown(numbers['LV_end_diastole_ml'])} at end-diastole" if several else f"LV {shown(numbers['LV_ml'])}"
    ]
    words += [
        f"ejection fraction {name} {shown(numbers[f'{name}_ejection_fraction_percent'])}"
        for name in (VENTRICLES if several else ())
    ]
    return Summary(
        values,
        ", ".join(words),
        [*results.flags, *results.notes],
        float(len(results.flags)),
        # ranks first: if the mask is empty, few values can be flagged
        not_a_heart=any(flag.code == "mask-no-heart" for flag in results.flags),
        flagged=[key for key, number in numbers.items() if number.marked],
        corrected=[key for key, number in numbers.items() if number.corrected],
    )
