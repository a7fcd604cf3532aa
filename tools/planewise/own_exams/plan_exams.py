"""Plan the views of the exams in a folder and write their pages: run two bundles, and draw their results."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser

from planewise.data.readable_items import reason_of
from planewise.engines.quiet import keep_quiet
from planewise.engines.run_inference import run_inference
from planewise.errors import InputError
from planewise.exams import find_inputs
from planewise.exams.source_images import is_dicom
from planewise.files.nifti import write_nifti
from planewise.files.predicted_masks import IMAGE
from planewise.findings import FLAG, Finding, finding, of_level, sentences
from planewise.geometry import plane_errors
from planewise.own_exams.dicom_results import clear_dicom, write_dicom, write_plan
from planewise.own_exams.exam_page import ShownExam
from planewise.own_exams.heart_bundles import (
    PLANS,
    SEGMENTS,
    STRUCTURES,
    ExamWork,
    LoadedStack,
    MadePage,
    Summary,
    findings_of,
    in_sentences,
    load_stack,
    output_folder,
    private_datalist,
    read_exams,
    read_mask,
    slices_of,
    stacks_in,
    text,
    without,
    write_page,
    written_in,
)
from planewise.own_exams.implausible_volumes import image_faults
from planewise.own_exams.load_bundle import bundle_and_weights
from planewise.own_exams.provenance import Note, Provenance, made_by
from planewise.preprocessing.exam_name import exam_of, volume_name
from planewise.preprocessing.load_stack import missing_slices
from planewise.reports.page_style import FLAGGED
from planewise.reports.planned_views import bounds_in_words, disagreements, from_one_phase, plane_in_words
from planewise.reports.tables import write_json
from planewise.words import as_sentence

logger = logging.getLogger(__name__)

#: Largest number of phases that are planned; further phases of a cine take time and improve little.
MOST_PHASES = 8
#: How far an operator's plane may be from the ideal plane: 2.5 standard deviations of the errors with which views are
#: prescribed in phantoms. These are 4 degrees of rotation, 3 degrees of tilt and 2 mm of displacement
#: (`planewise.workshop.phantoms.heart.population`). The errors of plan and operator are independent, so an archive flags a
#: view if its distance exceeds the root of the sum of squares of this value and the plan's error bound (`TWO_LIMITS`).
#: `tools/docs/own_exams.md` says how many good views are flagged, and how many misplaced views are found.
OPERATOR_DEG, OPERATOR_MM = 12.5, 5.0
#: What the mark at a distance between two planes means.
TWO_LIMITS = (
    f"A distance is marked (!) if it exceeds √(bound² + {OPERATOR_DEG:g}²) deg or √(bound² + {OPERATOR_MM:g}²) mm, because "
    "an operator's view varies, too."
)
#: What the numbers on the page of an archive mean.
_ARCHIVE = (
    "Angle and offset: how far the acquired view lies from the planned one. Bounds: how far the plan itself may be off (90 % "
    f"error bounds, measured on phantoms). {TWO_LIMITS} The exam with the largest distance relative to these larger limits "
    "comes first: its series may be misnamed, its view badly prescribed, or its plan wrong. Open its page to check."
)


@dataclass(frozen=True)
class PlannedExam(MadePage):
    """Planned views of an exam.

    Attributes:
        apart: for each view, angle (degrees) and offset (mm) between the planned and the acquired plane; None unless
            both exist.
        plan: the contents of ``plan.json``: ``plan["views"]["2ch"]`` has a verdict with reasons, and for a plane the
            ``origin`` and unit ``normal``, RAS+, mm.
        labels: label map of the heart, ``(i, j, slices)``, uint8 (1 RV, 2 myocardium, 3 LV); None without a segmentation.
        findings: what was found out about the exam, and about its views, which are the findings' subjects.
    """

    apart: Mapping[str, tuple[float, float] | None]
    plan: Mapping[str, Any]
    labels: np.ndarray | None
    findings: Sequence[Finding] = ()


def plan_exams(
    path: str | Path,
    output: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    min_obliquity: float | None = None,
    anonymous: bool = False,
) -> list[PlannedExam]:
    """Run the planning bundle and the segmentation bundle, and write every exam's page.

    Up to `MOST_PHASES` phases are planned, and their planes are combined. If one of several exams cannot be read, it is left
    out and reported.

    Args:
        path: folder of DICOM files, or a volume.
        output: folder for pages and files; None keeps no files.
        weights: weights that plan, see `bundle_and_weights`; None uses those that ship.
        min_obliquity: see `stacks_in` and `planewise.evaluation.PlanViewsd`; None uses the planning bundle's value.
        anonymous: leave the patient's name, dates and all other text out of DICOM files; the UIDs stay.

    Raises:
        InputError: there are no weights, no exam can be read or has a possible short axis, or a bundle refuses its input.
    """
    work = planning(path, weights=weights, min_obliquity=min_obliquity, anonymous=anonymous)
    with output_folder(output) as results:
        return work.run_all(results)


def planning(
    path: str | Path,
    *,
    weights: str | Path | None = None,
    min_obliquity: float | None = None,
    anonymous: bool = False,
) -> ExamWork:
    """Find the exams to plan; for arguments and errors see `plan_exams`."""
    keep_quiet()
    used = {PLANS: bundle_and_weights(PLANS, weights), SEGMENTS: bundle_and_weights(SEGMENTS, None)}
    skipped: dict[Finding, int] = {}
    stacks, left_out = stacks_in(Path(path).expanduser().resolve(), "all", min_obliquity, skipped=skipped)
    provenances = {name: Provenance.of(*bundle) for name, bundle in used.items()}
    note = _note(provenances)

    def run(exams: Sequence[Mapping[str, Any]], output: Path) -> list[PlannedExam]:
        first, others = _by_phase(exams, MOST_PHASES)
        refused: dict[str, Finding] = {}
        with private_datalist({"test": slices_of(first)}) as input:
            for name, (bundle, file) in used.items():
                given = {"weights": file, "min_obliquity": min_obliquity}
                plans = {"phase_plans": _phase_plans(others, bundle, given)} if name == PLANS else {}
                refused |= run_inference(bundle, given | plans | {"input": input, "output_dir": output})
        made = [_planned(item, output, provenances, str(note), anonymous) for item in read_exams(first, refused)]
        return [replace(made[0], lines=[*in_sentences(refused), *made[0].lines]), *made[1:]]

    # the checksum of the weights takes the place of their file
    settings = {name: each.sha256 for name, each in provenances.items()}
    settings |= {"min_obliquity": min_obliquity, "anonymous": anonymous}
    return ExamWork("plan", stacks, settings, left_out, run, _summary, note, skipped, "Planned exams", _ARCHIVE)


def _note(provenances: Mapping[str, Provenance]) -> Note:
    """The note on the weights, which stands next to all planes."""
    steps = {PLANS: "planes", SEGMENTS: "masks"}
    return made_by([(steps[name], each) for name, each in provenances.items()], "the error of these planes on patients")


def _by_phase(
    stacks: Sequence[Mapping[str, Any]], most: int
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The first phase of each exam, under the exam's name, and its other phases. If there are more than ``most`` phases in
    all, evenly spaced phases are chosen."""
    exams: dict[str, list[Mapping[str, Any]]] = {}
    # phase00, phase20 and so on; ED and ES
    for item in sorted(stacks, key=lambda item: str(item.get("phase", ""))):
        exams.setdefault(exam_of(item), []).append(item)
    first = [{key: value for key, value in items[0].items() if key != "phase"} for items in exams.values()]
    others = []
    for items in exams.values():
        chosen = np.unique(np.linspace(0, len(items), min(len(items), most), endpoint=False).astype(int))
        others += [items[number] for number in chosen[1:]]
    return first, others


def _phase_plans(
    stacks: Sequence[Mapping[str, Any]], bundle: Path, settings: Mapping[str, object]
) -> dict[str, dict[str, Any]] | None:
    """The views of each exam's other phases, as the bundle plans them one by one; None without other phases."""
    if not stacks:
        return None
    switches = without(bundle, "Invertd", "SaveImaged")
    config = ConfigParser.load_config_file(str(bundle / "configs" / "inference.yaml"))
    for number, handler in enumerate(config["handlers"]):
        if handler["_target_"].endswith(".PlanWriter"):
            switches[f"handlers#{number}#plan_only"] = True
    plans: dict[str, dict[str, Any]] = {}
    with private_datalist({"test": slices_of(stacks)}) as datalist, output_folder(None) as folder:
        common = {"input": datalist, "output_dir": folder, "phases": "all"}
        failed: Finding | None = None
        refused: dict[str, Finding] = {}
        try:
            refused = run_inference(bundle, {**settings, **common, **switches})
        except InputError as error:
            # if the first phase cannot be planned either, the run on the first phases reports the reason
            failed = reason_of(error)
        # a datalist names the phases by their rank in it
        for item, named in zip(stacks, find_inputs(datalist, "all", "test", left_out=[]), strict=True):
            file = folder / volume_name(named) / "plan.json"
            if file.is_file():
                plans.setdefault(exam_of(item), {})[str(item["phase"])] = json.loads(file.read_text())["views"]
            else:
                why = refused.get(exam_of(item), failed) or "it has no plan"
                logger.warning("exam %s: %s is not planned: %s", exam_of(item), item["phase"], why)
    return plans


def apart_limits(entry: Mapping[str, Any]) -> tuple[float, float] | None:
    """The angle (degrees) and the offset (mm) between planned and acquired plane above which an archive flags the view;
    None if the plan has no error bounds.

    Args:
        entry: a view of ``plan.json``.
    """
    if entry["within_deg"] is None or entry["within_mm"] is None:
        return None
    return math.hypot(entry["within_deg"], OPERATOR_DEG), math.hypot(entry["within_mm"], OPERATOR_MM)


def distance(entry: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[float, float]:
    """Angle (degrees) and offset (mm) of a planned plane from another plane, at the planned plane's origin."""
    origin, normal, *reference = (
        torch.tensor(plane[key], dtype=torch.float64) for plane in (entry, other) for key in ("origin", "normal")
    )
    return plane_errors(origin, normal, *reference, at=origin)


def _summary(exam: PlannedExam) -> Summary:
    """Summarise how far each acquired view is from the planned view. A severity of 1 means that the distance equals the
    allowed error of plan and operator together."""
    values: dict[str, object] = {}
    words, flagged = [], []
    severity = float(bool(of_level(exam.findings, FLAG)))
    for view, entry in exam.plan["views"].items():
        apart = exam.apart[view]
        angle, offset = apart or (None, None)
        values |= {
            f"{view}_verdict": entry["verdict"],
            f"{view}_angle_deg": angle,
            f"{view}_offset_mm": offset,
            f"{view}_bound_deg": entry["within_deg"],
            f"{view}_bound_mm": entry["within_mm"],
        }
        if entry["verdict"] != "plane":
            words.append(f"{view} no plane")
        elif angle is None or offset is None:
            words.append(f"{view} planned, none acquired")
        else:
            words.append(f"{view} apart by {' and '.join(_compared(entry, apart))}")
            limits = apart_limits(entry)
            # without error bounds of the plan, no limit is known
            shares = (angle / limits[0], offset / limits[1]) if limits else ()
            severity = max(severity, angle / 90, *shares)
            flagged += [f"{view}_{_NAMED[unit]}" for unit in _beyond(limits, apart)]
    return Summary(values, ", ".join(words), exam.findings, severity, flagged=flagged)


def _planned(
    item: Mapping[str, Any], output: Path, provenances: Mapping[str, Provenance], note: str, anonymous: bool
) -> PlannedExam:
    """Compare an exam's plan with its acquired views, and write its page and files.

    Args:
        item: its stack at the first phase.
        output: folder for the results, in which the bundles wrote theirs.
        provenances, note: the weights, and the note on them.
        anonymous: whether DICOM files leave out the patient.
    """
    stack = load_stack(item)
    folder, mask = output / stack.name, read_mask(output, stack.name)
    plan = json.loads((folder / "plan.json").read_text())
    apart = {
        view: distance(entry, stack.acquired[view]) if view in stack.acquired and entry["origin"] else None
        for view, entry in plan["views"].items()
    }
    findings = [
        *missing_slices(stack.affines, stack.thickness),
        *image_faults([stack.image.numpy()], ["the first phase"]),
        *findings_of(item),
        *_disorder(plan.get("locations", ())),
        *(found for view, entry in plan["views"].items() for found in judged(view, entry, apart[view])),
    ]
    bounds = {view: [*bounds_in_words(entry, plan), note] for view, entry in plan["views"].items()}
    kept = clear_dicom(folder)
    make = partial(write_plan, folder, item, plan, apart, findings, bounds, provenances[PLANS])
    findings += [*kept, *write_dicom(stack.name, item, anonymous, make)]
    plan = _with_findings(plan, apart, findings)
    plan |= {"made_by": note, "weights": [each.content() for each in provenances.values()]}
    write_json(folder / "plan.json", plan)
    if is_dicom(item):
        write_nifti(folder / f"{stack.name}{IMAGE}.nii.gz", stack.image.numpy(), stack.image.affine)
    labels = None if mask is None else mask[0]
    page = write_page(folder, _page(stack, plan, apart, labels, findings, note))
    return PlannedExam(
        stack.name,
        page,
        _lines(stack.name, plan, apart, findings),
        item,
        written_in(folder),
        apart,
        plan,
        labels,
        findings,
    )


def judged(view: str, entry: Mapping[str, Any], apart: tuple[float, float] | None) -> list[Finding]:
    """Findings on a planned view: no plane; the acquired view is farther away than plan and operator may err; slices or
    phases disagree."""
    if entry["verdict"] != "plane":
        return [finding("no-plane", view, why="; ".join(entry["reasons"]))]
    found = disagreements(entry, view)
    if beyond := _beyond(apart_limits(entry), apart):
        # three digits, because a value may exceed its limit by a few hundredths
        values, limits = ([f"{pair[place]:.3g} {unit}" for unit, pair in beyond.items()] for place in (0, 1))
        found.insert(0, finding("view-far", view, values=values, limits=limits))
    return found


def _page(
    stack: LoadedStack,
    plan: Mapping[str, Any],
    apart: Mapping[str, tuple[float, float] | None],
    labels: np.ndarray | None,
    findings: Sequence[Finding],
    note: str,
) -> ShownExam:
    rows = [_row(view, plan, apart[view]) for view in plan["views"]]
    return ShownExam(
        name=stack.name,
        image=stack.image.numpy(),
        affines=stack.affines,
        plan=plan,
        acquired=stack.acquired,
        images=stack.views,
        labels=labels,
        structures=STRUCTURES,
        tables=[("Planned from the short axis alone", _HEADER[:4], [row[:4] for row in rows])],
        folded=[("How sure the plan is", _HEADER[:1] + _HEADER[4:], [row[:1] + row[4:] for row in rows])],
        flags=_flags(findings),
        notes=[" ".join([*_explained(plan), *map(as_sentence, _remarks(findings))]), note],
    )


def _flags(findings: Sequence[Finding]) -> list[str]:
    """The flags in words, without the verdicts, which are in the table."""
    return sentences(found for found in of_level(findings, FLAG) if found.code != "no-plane")


def _remarks(findings: Sequence[Finding]) -> list[str]:
    """The remarks on the exam; those on its planes are in the table."""
    return sentences(found for found in findings if found.level != FLAG and found.code != "plane-disagrees")


def _lines(
    name: str, plan: Mapping[str, Any], apart: Mapping[str, tuple[float, float] | None], findings: Sequence[Finding]
) -> list[str]:
    """What the terminal says about an exam."""
    phases = f", {plan['phases']} phases" if "phases" in plan else ""
    lines = [f"Exam {name}, {plan['slices']} slices{phases}"]
    for view in plan["views"]:
        _, verdict, angle, offset, agreement, sure = _row(view, plan, apart[view])
        compared = "" if angle == "-" else f"; from the acquired plane: {angle} and {offset}"
        known = "" if sure == "-" else f"; {sure}"
        lines.append(f"  {view}: {verdict}, agreement {agreement}{known}{compared}")
    lines += [f"  {_NO_BOUNDS}"] * _lacks_bounds(plan)
    lines += [f"  {remark}" for remark in _remarks(findings)]
    return lines + [f"  check: {flag}" for flag in _flags(findings)]


#: Neighbouring locations may be out of order by less than this part of the usual step, as any prediction is.
_DISORDER = 0.25
_HEADER = (
    "view",
    "verdict",
    "angle to the acquired plane",
    "offset from the acquired plane",
    "agreement",
    "error bounds and remarks",
)
#: The distances by unit.
_NAMED = {"deg": "angle_deg", "mm": "offset_mm"}
#: What the columns of the tables mean.
_COLUMNS = (
    "Error bounds: on phantoms, 90 % of the planned planes are closer than this to the true plane. "
    f"{TWO_LIMITS} Agreement, 0 to 1: how well the lines that the network draws on the slices match one plane."
)
#: A note for weights whose errors nobody has measured.
_NO_BOUNDS = (
    f"These weights have no error bounds: evaluate them, and give inference the bounds (`plane_bounds`, see {PLANS})."
)
#: A note for plans without other phases.
_ONE_PHASE = (
    "Planned from one phase: operators prescribe views at end-diastole. At other phases the heart has moved, and a plane may "
    "be 10 degrees off: plan from all phases, or from end-diastole."
)


def _explained(plan: Mapping[str, Any]) -> list[str]:
    """What a page says about the terms of its tables."""
    return [_COLUMNS] + [_ONE_PHASE] * from_one_phase(plan) + [_NO_BOUNDS] * _lacks_bounds(plan)


def _row(view: str, plan: Mapping[str, Any], apart: tuple[float, float] | None) -> list[str]:
    """A view's row of the table."""
    entry = plan["views"][view]
    sure = "; ".join(plane_in_words(entry, plan)) or "-"
    return [view, _verdict(entry), *_compared(entry, apart), text(entry["agreement"], 2), sure]


def _compared(entry: Mapping[str, Any], apart: tuple[float, float] | None) -> list[str]:
    """The distances from the acquired plane, each with a mark if plan and operator together cannot explain it."""
    far = _beyond(apart_limits(entry), apart)
    return [
        text(value, 1, f" {unit}") + f" {FLAGGED}" * (unit in far)
        for value, unit in zip(apart or (None, None), ("deg", "mm"), strict=True)
    ]


def _with_findings(
    plan: Mapping[str, Any], apart: Mapping[str, tuple[float, float] | None], findings: Sequence[Finding]
) -> dict[str, Any]:
    """A plan with its distances from the acquired views and what was found out about it: each view has the findings on it,
    and the others are of the exam."""
    views = {}
    for view, entry in plan["views"].items():
        angle, offset = (round(value, 2) for value in apart[view]) if apart[view] else (None, None)
        views[view] = {
            **entry,
            "acquired_angle_deg": angle,
            "acquired_offset_mm": offset,
            "findings": [found.record() for found in findings if found.subject == view],
        }
    return {**plan, "views": views, "findings": [found.record() for found in findings if found.subject not in views]}


def _disorder(locations: Sequence[float]) -> list[Finding]:
    """A finding on neighbouring slices whose predicted locations run against the stack's direction, by more than a small
    part of the usual step (`_DISORDER`)."""
    steps = np.diff(locations)
    forward = np.sum(steps) / max(len(steps), 1)
    wrong = np.flatnonzero(steps * np.sign(forward) < -_DISORDER * abs(forward))
    pairs = [f"{first + 1} and {first + 2} ({locations[first]:.2f}, {locations[first + 1]:.2f})" for first in wrong]
    return [finding("locations-disorder", between=pairs)] if pairs else []


def _beyond(limits: tuple[float | None, float | None] | None, apart: tuple[float, float] | None) -> dict[str, tuple]:
    """The distances from the acquired plane, by unit, that exceed their limits in that unit, and these limits."""
    each = zip(("deg", "mm"), apart or (), limits or (), strict=False)
    return {unit: (value, limit) for unit, value, limit in each if limit is not None and value > limit}


def _lacks_bounds(plan: Mapping[str, Any]) -> bool:
    """Whether the weights that planned the views have no error bounds."""
    return any(view["origin"] and view["within_deg"] is None for view in plan["views"].values())


def _verdict(entry: Mapping[str, Any]) -> str:
    return "; ".join([entry["verdict"], *entry["reasons"]])
