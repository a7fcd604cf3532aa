"""Write the measured volumes of an exam as tables, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from planewise.findings import sentences
from planewise.own_exams.archive import Summary
from planewise.own_exams.heart_results import VENTRICLES, HeartResults, Number
from planewise.own_exams.masks import STRUCTURES
from planewise.preprocessing.exam_name import volume_name
from planewise.reports.page_style import CORRECTED, FLAGGED
from planewise.reports.research_only import RESEARCH_ONLY

Table = tuple[list[str], list[list[str]]]
_OF_TWO_PHASES = ("stroke volume", "ejection fraction")
#: Ends of the columns' names in tables, by quantity.
_COLUMNS = {
    "volume": "ml",
    "mass": "g",
    "stroke volume": "stroke_volume_ml",
    "ejection fraction": "ejection_fraction_percent",
}


def shown(number: Number) -> str:
    """A number with its unit and marks."""
    if not np.isfinite(number.value):
        return "-"
    marks = f" {CORRECTED}" * bool(number.corrected) + f" {FLAGGED}" * number.marked
    return f"{number.value:.0f} {number.unit}{marks}"


def volume_table(results: HeartResults, indexed: bool = False) -> Table:
    """The header and rows of the volumes; a single phase has no end-systole. If ``indexed``, the values are per m2."""
    several = results.several
    header = ["structure", "end-diastole" if several else "volume", "end-systole", *_OF_TWO_PHASES, "mass"]
    rows: list[list[Number | None]] = []
    for name in VENTRICLES:
        of_beat = [results.number(name, "volume", results.end_systole)]
        of_beat += [results.number(name, quantity) for quantity in _OF_TWO_PHASES]
        rows.append([results.number(name, "volume", results.end_diastole), *(of_beat if several else [None] * 3), None])
    muscle = [results.number("myocardium", quantity, results.end_diastole) for quantity in ("volume", "mass")]
    rows.append([None if indexed else muscle[0], None, None, None, muscle[1]])
    table = [
        [name, *("-" if each is None else shown(results.per_surface(each) if indexed else each) for each in row)]
        for name, row in zip((*VENTRICLES, "myocardium"), rows, strict=True)
    ]
    if indexed:  # an ejection fraction has no value per m2
        place = header.index("ejection fraction")
        header, *table = (row[:place] + row[place + 1 :] for row in (header, *table))
    return header, table


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
    strokes = [f"{name}_stroke_volume_ml" for name in VENTRICLES]
    keys = [*(f"{name}_ml" for name in STRUCTURES.values()), "myocardium_g", *strokes]
    keys += [f"{name}_ejection_fraction_percent" for name in VENTRICLES]

    def column(key: str, share: float = 1.0) -> list[object]:
        values = [row[key].value / share if key in row else np.nan for row in rows]
        return [value if np.isfinite(value) else "" for value in values]

    columns: dict[str, Sequence[object]] = {"phase": [item.get("phase", "") for item in items], "moment": moments}
    columns |= {key: column(key) for key in keys}
    of_size = []
    if surface := results.surface:
        indexed = [*(f"{name}_ml" for name in VENTRICLES), "myocardium_g", *strokes]
        columns["body_surface_m2"] = [surface] * len(items)
        columns |= {f"{key}_per_m2": column(key, surface) for key in indexed}
        of_size = ["body_surface_m2"] * bool(results.size_flags)
    concerned = [{*results.size_flags, *(flag for number in row.values() for flag in number.flags)} for row in rows]
    masks = {phase: mask.file.name for phase, mask in results.corrected.items()}
    return columns | {
        "flagged": ["; ".join([key for key, number in row.items() if number.marked] + of_size) for row in rows],
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
