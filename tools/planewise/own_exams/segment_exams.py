"""From a folder to masks, volumes and their pages: the segmentation bundle, and the values computed from its label
maps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from planewise.data.hearts import heart_problem
from planewise.engines.quiet import keep_quiet
from planewise.engines.run_inference import run_inference
from planewise.exams.words import count_of
from planewise.metrics.heart_volumes import HeartVolumes, heart_volumes
from planewise.metrics.implausible_volumes import Flag, implausible_volumes
from planewise.own_exams.heart_bundles import (
    SEGMENTS,
    STRUCTURES,
    MadePage,
    asked_for,
    bundles_folder,
    load_stack,
    mask_file,
    needed_weights,
    of_the_run,
    output_folder,
    read_exams,
    read_mask,
    stacks_in,
    text,
    write_page,
)
from planewise.preprocessing.exam_name import phase_in_words, volume_name
from planewise.reports.exam_page import FLAGGED, ShownExam
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.tables import write_csv, write_json

VENTRICLES = ("LV", "RV")
ALL = tuple(STRUCTURES.values())


@dataclass(frozen=True)
class SegmentedExam(MadePage):
    """A segmented heart.

    Attributes:
        phases: the name of each phase's files, in temporal order.
        volumes: the volumes of every phase, and the values derived from them.
        flags: implausible numbers.
        masks: file of each phase's label map; deleted if the call had no output folder.
    """

    phases: Sequence[str]
    volumes: HeartVolumes
    flags: Sequence[Flag]
    masks: Sequence[Path]

    @cached_property
    def labels(self) -> list[np.ndarray]:
        """Label map of each phase, ``(i, j, slices)``, uint8 (1 RV, 2 myocardium, 3 LV), on the image's grid."""
        return [np.asarray(nib.load(mask).dataobj).astype(np.uint8) for mask in self.masks]


def segment_exams(
    path: str | Path,
    output: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    min_obliquity: float | None = None,
    keep_names: bool = False,
    bundles: str | Path | None = None,
    device: str | None = None,
) -> list[SegmentedExam]:
    """Run the segmentation bundle on every phase, and write every exam's volumes and page.

    If a phase of one of several exams cannot be read, that exam is left out and named.

    Args:
        path: folder of DICOM files, or a volume.
        output: folder for pages, tables and masks; None keeps no files.
        weights: None uses those that ship.
        min_obliquity, keep_names: as of `stacks_in`.
        bundles: folder of the bundles; None uses the clone's.
        device: None leaves the choice to the bundle.

    Raises:
        InputError: there are no weights, no exam can be read or may be a short axis, or what the bundle refuses.
    """
    keep_quiet()
    path, folder = Path(path).expanduser().resolve(), bundles_folder(bundles)
    used = needed_weights(folder / SEGMENTS, weights)
    stacks = stacks_in(path, "all", keep_names, min_obliquity, straight=True)
    with output_folder(output) as results:
        done = _segmented(stacks, path, results, folder / SEGMENTS, used, device)
        if output is None:
            for exam in done:
                exam.labels  # noqa: B018  (read while the files are there)
    return done


def _segmented(
    stacks: Sequence[Mapping[str, Any]], path: Path, output: Path, bundle: Path, used: Path, device: str | None
) -> list[SegmentedExam]:
    masks = output / "masks"
    with asked_for(stacks, path) as input:
        settings = {"input": input, "output_dir": masks, "device": device, "weights": used, "phases": "all"}
        said = run_inference(bundle, settings)
    phases = defaultdict(list)
    for item in read_exams(stacks, said):
        phases[item.get("exam") or volume_name(item)].append(item)
    done: list[SegmentedExam] = []
    for exam, items in phases.items():
        names = [volume_name(item) for item in items]
        labels, affines = zip(*(read_mask(masks, name) for name in names), strict=True)
        found = heart_volumes(labels, affines, STRUCTURES)
        heart = np.isin(labels[found.end_diastole], list(STRUCTURES))
        problem = heart_problem(heart, np.linalg.norm(affines[found.end_diastole][:3, :3], axis=0).tolist())
        flags = [
            *(
                [Flag(ALL, "volume", found.end_diastole, f"this may not be a heart: its mask {problem}")]
                if problem
                else []
            ),
            *implausible_volumes(found),
        ]
        reasons = _shown_reasons(found, flags)
        header, rows = _rows(found, flags)
        count = "1 phase" if len(names) == 1 else f"{len(names)} phases"
        stack = load_stack(items[found.end_diastole])
        shown = ShownExam(
            name=exam,
            image=stack.image.numpy(),
            affines=stack.affines,
            acquired={view: plane for view, plane in stack.acquired.items() if view in ("2ch", "4ch")},
            labels=labels[found.end_diastole],
            structures=STRUCTURES,
            tables=[(count, header, rows)],
            flags=reasons,
        )
        page = write_page(output / exam, shown)
        write_csv(output / exam / "volumes.csv", _columns(found, flags, items))
        write_json(output / exam / "volumes.json", _content(found, names, flags))
        lines = [
            f"  {row[0]}: "
            + ", ".join(f"{name} {cell}" for name, cell in zip(header[1:], row[1:], strict=True) if cell != "-")
            for row in rows
        ]
        remarks = [line for line in said if line.startswith(f"exam {exam}:")]
        doubts = [f"  {FLAGGED} {reason}" for reason in reasons]
        run = [] if done else of_the_run(said)
        shown_lines = [*run, f"Exam {exam}, {count}", *lines, *doubts, *remarks]
        item = items[found.end_diastole]
        files = [mask_file(masks, name) for name in names]
        done.append(SegmentedExam(exam, page, shown_lines, item, names, found, flags, files))
    return done


def _columns(
    found: HeartVolumes, flags: Sequence[Flag], items: Sequence[Mapping[str, Any]]
) -> dict[str, Sequence[object]]:
    """Columns of the table of phases; values from two phases are in the row of end-systole."""
    count = len(items)
    moments = [""] * count
    if count > 1:
        moments[found.end_diastole], moments[found.end_systole] = "end-diastole", "end-systole"

    def at_end_systole(value: float) -> list[object]:
        return [value if moment == "end-systole" and np.isfinite(value) else "" for moment in moments]

    return {
        "phase": [phase_in_words(item) for item in items],
        "moment": moments,
        **{f"{name}_ml": list(ml) for name, ml in found.volumes.items()},
        "myocardium_g": found.masses,
        **{f"{name}_stroke_volume_ml": at_end_systole(found.stroke_volume(name)) for name in VENTRICLES},
        **{f"{name}_ejection_fraction_percent": at_end_systole(found.ejection_fraction(name)) for name in VENTRICLES},
        "flags": ["; ".join(flag.text for flag in flags if flag.phase == phase) for phase in range(count)],
        "mask": [volume_name(item) for item in items],
    }


def _content(found: HeartVolumes, names: Sequence[str], flags: Sequence[Flag]) -> dict[str, object]:
    several = len(names) > 1
    return {
        "note": RESEARCH_ONLY,
        "phases": list(names),
        "volumes_ml": {name: list(ml) for name, ml in found.volumes.items()},
        "end_diastole": names[found.end_diastole],
        "end_systole": names[found.end_systole] if several else None,
        "stroke_volume_ml": {name: found.stroke_volume(name) if several else None for name in VENTRICLES},
        "ejection_fraction_percent": {name: found.ejection_fraction(name) if several else None for name in VENTRICLES},
        "myocardial_mass_g": found.mass,
        "flags": [{**asdict(flag), "phase": names[flag.phase]} for flag in flags],
    }


def _shown_reasons(found: HeartVolumes, flags: Sequence[Flag]) -> list[str]:
    """What is wrong with the numbers of the table, and how many flags other phases have."""
    shown = (found.end_diastole, found.end_systole)
    reasons = {f"{flag.text}{_at(found, flag)}": None for flag in flags if flag.phase in shown}
    others = len({flag.phase for flag in flags} - set(shown))
    more = [f"volumes of {count_of(others, 'other phase')} are flagged too: see volumes.csv"] if others else []
    return [*reasons, *more]


def _at(found: HeartVolumes, flag: Flag) -> str:
    """The condition for flagging a volume, in words."""
    if flag.quantity != "volume" or len(found.volumes["LV"]) == 1 or "end-" in flag.text:
        return ""
    return " (end-diastole)" if flag.phase == found.end_diastole else " (end-systole)"


def _rows(found: HeartVolumes, flags: Sequence[Flag]) -> tuple[list[str], list[list[str]]]:
    """The table of volumes, with flagged numbers marked; a single phase has no end-systole."""
    several = len(found.volumes["LV"]) > 1
    diastole, systole = found.end_diastole, found.end_systole

    def number(value: float, unit: str, structure: str, quantity: str, phase: int) -> str:
        flagged = any(
            structure in flag.structures and (flag.quantity, flag.phase) == (quantity, phase) for flag in flags
        )
        return text(value, 0, unit) + (f" {FLAGGED}" if flagged else "")

    rows = []
    for name in VENTRICLES:
        ml = found.volumes[name]
        row = [name, number(ml[diastole], " ml", name, "volume", diastole)]
        row += (
            [
                number(ml[systole], " ml", name, "volume", systole),
                number(found.stroke_volume(name), " ml", name, "stroke volume", systole),
                number(found.ejection_fraction(name), " %", name, "ejection fraction", systole),
            ]
            if several
            else ["-"] * 3
        )
        rows.append([*row, "-"])
    muscle = number(found.volumes["myocardium"][diastole], " ml", "myocardium", "volume", diastole)
    rows.append(["myocardium", muscle, "-", "-", "-", number(found.mass, " g", "myocardium", "mass", diastole)])
    first = "end-diastole" if several else "volume"
    return ["structure", first, "end-systole", "stroke volume", "ejection fraction", "mass"], rows
