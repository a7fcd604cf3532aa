"""Plan the views of the exams in a folder and write their pages: run two bundles, and draw their results."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from planewise.data.readable_items import reason_of
from planewise.engines import Inference, keep_quiet
from planewise.errors import InputError
from planewise.evaluation import PlanViewsd
from planewise.exams.source_images import is_dicom
from planewise.files.masks import IMAGE
from planewise.files.nifti import write_nifti
from planewise.findings import FLAG, Finding, finding, of_level, sentences
from planewise.geometry import plane_errors
from planewise.own_exams.archive import ExamWork, MadePage, Summary, written_in
from planewise.own_exams.bundles import PLANS, SEGMENTS, Provenance, bundle_and_weights, made_by
from planewise.own_exams.dicom_results import clear_dicom, reported, write_plan
from planewise.own_exams.exam_page import ShownExam, write_page
from planewise.own_exams.heart_stacks import OFF, LoadedStack, findings_of, for_bundle, predicted, switched
from planewise.own_exams.implausible_volumes import image_faults
from planewise.own_exams.masks import STRUCTURES, read_mask
from planewise.preprocessing.exam_name import exam_of
from planewise.preprocessing.load_stack import missing_slices
from planewise.reports.page_style import FLAGGED
from planewise.reports.planned_views import bounds_in_words, disagreements, plane_in_words
from planewise.reports.tables import write_json

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
    "Angle and offset: how far the acquired view lies from the planned one. Bounds: 90 % error bounds of the plan (on "
    f"phantoms). {TWO_LIMITS} The exam with the largest distance relative to these limits comes first: open its page."
)
_HEADER = (
    "view", "verdict", "angle to the acquired plane", "offset from the acquired plane", "agreement",
    "error bounds and remarks",
)  # fmt: skip
#: What the columns of the tables mean.
_COLUMNS = (
    "Error bounds: on phantoms, 90 % of the planned planes are closer than this to the true plane. "
    f"{TWO_LIMITS} Agreement, 0 to 1: how well the lines that the network draws on the slices match one plane."
)


@dataclass(frozen=True)
class PlannedExam(MadePage):
    """Planned views of an exam."""

    apart: Mapping[str, tuple[float, float] | None]
    """for each view, angle (degrees) and offset (mm) between planned and acquired plane; None unless both exist"""
    plan: Mapping[str, Any]
    """the contents of ``plan.json``: ``plan["views"]["2ch"]`` has a verdict with reasons, and for a plane the
    ``origin`` and unit ``normal``, RAS+, mm"""
    labels: np.ndarray | None
    """label map of the heart, ``(i, j, slices)``, uint8 (1 RV, 2 myocardium, 3 LV); None without a segmentation"""
    findings: Sequence[Finding]
    """what was found out about the exam, and about its views, which are the findings' subjects"""


def plan_exams(path: str | Path, output: str | Path | None = None, **options: Any) -> list[PlannedExam]:
    """Run the planning bundle and the segmentation bundle, and write every exam's page.

    Up to `MOST_PHASES` phases are planned, and their planes are combined. If one of several exams cannot be read, it is left
    out and reported.

    Args:
        path, options: as for `planning`, which also says which errors are raised.
        output: folder for pages and files; None keeps no files.
    """
    return planning(path, **options).run(output)


def planning(
    path: str | Path,
    *,
    weights: str | Path | None = None,
    min_obliquity: float | None = None,
    anonymous: bool = False,
    workers: int = 1,
) -> ExamWork:
    """Find the exams to plan.

    Args:
        path: folder of DICOM files, or a volume.
        weights: weights that plan, see `bundle_and_weights`; None uses those that ship.
        min_obliquity: see `stacks_in` and `planewise.evaluation.PlanViewsd`; None uses the planning bundle's value.
        anonymous: leave the patient's name, dates and all other text out of DICOM files; the UIDs stay.
        workers: see `planewise.exams.scan_folder`.

    Raises:
        InputError: there are no weights, or no exam can be read or has a possible short axis; when the work runs, a bundle
            refuses its input.
    """
    keep_quiet()
    used = {PLANS: bundle_and_weights(PLANS, weights), SEGMENTS: bundle_and_weights(SEGMENTS, None)}
    provenances = {name: Provenance.of(*bundle) for name, bundle in used.items()}
    steps = [("planes", provenances[PLANS]), ("masks", provenances[SEGMENTS])]
    note = made_by(steps, "the error of these planes on patients")

    @cache
    def inference(name: str, output: Path, writes: bool = True) -> Inference:
        bundle, file = used[name]
        switches = {"SegmentationWriter": OFF, "PlanWriter": {"picture": False}}
        switches |= {} if writes else dict.fromkeys(("Invertd", "SaveImaged", "PlanWriter"), OFF)
        given = {"weights": file, "min_obliquity": min_obliquity, "output_dir": output}
        return Inference(bundle, given | switched(bundle, switches))

    def make(exam: str, items: Sequence[Mapping[str, Any]], output: Path) -> PlannedExam:
        first, *others = _by_phase(items, MOST_PHASES)
        alone, plans = (inference(PLANS, output, writes) for writes in (False, True))
        joins = next(step for step in plans.workflow.postprocessing.transforms if isinstance(step, PlanViewsd))
        joins.phase_plans = {exam: _phase_plans(alone, others)}
        if refused := plans(for_bundle([first])):
            raise InputError(refused[exam], f"exam {exam}")
        (stack,) = predicted(exam, [first], inference(SEGMENTS, output))
        return _planned(exam, stack, output, provenances, str(note), anonymous)

    # the checksum of the weights takes the place of their file
    settings = {name: each.sha256 for name, each in provenances.items()}
    settings |= {"min_obliquity": min_obliquity, "anonymous": anonymous}
    about = {"note": note, "title": "Planned exams", "explained": _ARCHIVE}
    return ExamWork.at("plan", path, settings, False, workers, make, **about)


def _by_phase(stacks: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """The first phase of an exam, under the exam's name, and its other phases. If there are more than ``most`` phases in all,
    evenly spaced phases are chosen."""
    # phase00, phase20 and so on; ED and ES
    items = sorted(stacks, key=lambda item: str(item.get("phase", "")))
    chosen = np.unique(np.linspace(0, len(items), min(len(items), most), endpoint=False).astype(int))
    first = {key: value for key, value in items[0].items() if key != "phase"}
    return [first, *(items[number] for number in chosen[1:])]


def _phase_plans(inference: Inference, stacks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The views of an exam's other phases, as the bundle plans them one by one."""
    plans: dict[str, Any] = {}
    why: object = None
    if stacks:
        try:
            refused = inference(
                for_bundle(stacks), lambda found: plans.update({found["phase"]: found["plan"]["views"]})
            )
            why = next(iter(refused.values()), None)
        except InputError as error:
            # if the first phase cannot be planned either, the run on the first phase reports the reason
            why = reason_of(error)
    for item in stacks:
        if item["phase"] not in plans:
            logger.warning("exam %s: %s is not planned: %s", exam_of(item), item["phase"], why)
    return plans


@dataclass(frozen=True)
class ComparedView:
    """A view of ``plan.json``, and its distance from the acquired view: angle (degrees) and offset (mm) between the planes;
    None unless both exist."""

    name: str
    entry: Mapping[str, Any]
    apart: tuple[float, float] | None

    @classmethod
    def of(cls, name: str, entry: Mapping[str, Any], acquired: Mapping[str, Any] | None) -> ComparedView:
        """Compare a view with the ``origin`` and ``normal`` of the acquired plane, at the planned plane's origin."""
        if acquired is None or not entry["origin"]:
            return cls(name, entry, None)
        places = [each[key] for each in (entry, acquired) for key in ("origin", "normal")]
        origin, normal, *reference = (torch.tensor(place, dtype=torch.float64) for place in places)
        return cls(name, entry, plane_errors(origin, normal, *reference, at=origin))

    @property
    def limits(self) -> tuple[float, float] | None:
        """The angle and the offset above which the view is flagged; None if the plan has no error bounds."""
        bounds = self.entry["within_deg"], self.entry["within_mm"]
        if None in bounds:
            return None
        return math.hypot(bounds[0], OPERATOR_DEG), math.hypot(bounds[1], OPERATOR_MM)

    @property
    def far(self) -> dict[str, tuple[float, float]]:
        """The distances, by unit, that exceed their limits, and these limits."""
        each = zip(("deg", "mm"), self.apart or (), self.limits or (), strict=False)
        return {unit: (value, limit) for unit, value, limit in each if value > limit}

    @property
    def cells(self) -> list[str]:
        """The distances, each with a mark if plan and operator together cannot explain it."""
        if self.apart is None:
            return ["-", "-"]
        return [
            f"{value:.1f} {unit}" + f" {FLAGGED}" * (unit in self.far)
            for value, unit in zip(self.apart, ("deg", "mm"), strict=True)
        ]

    def findings(self) -> list[Finding]:
        """No plane; the acquired view is farther away than plan and operator may err; slices or phases disagree."""
        if self.entry["verdict"] != "plane":
            return [finding("no-plane", self.name, why="; ".join(self.entry["reasons"]))]
        found = disagreements(self.entry, self.name)
        if far := self.far:
            # three digits, because a value may exceed its limit by a few hundredths
            values, limits = ([f"{pair[place]:.3g} {unit}" for unit, pair in far.items()] for place in (0, 1))
            found.insert(0, finding("view-far", self.name, values=values, limits=limits))
        return found


def plan_summary(views: Sequence[ComparedView], findings: Sequence[Finding]) -> Summary:
    """Summarise how far each acquired view is from the planned view. A severity of 1 means that the distance equals the
    allowed error of plan and operator together."""
    values: dict[str, object] = {}
    flagged = []
    severity = float(bool(of_level(findings, FLAG)))
    for view in views:
        angle, offset = view.apart or (None, None)
        values |= {
            f"{view.name}_verdict": view.entry["verdict"],
            f"{view.name}_angle_deg": angle,
            f"{view.name}_offset_mm": offset,
            f"{view.name}_bound_deg": view.entry["within_deg"],
            f"{view.name}_bound_mm": view.entry["within_mm"],
        }
        if angle is not None and offset is not None:
            # without error bounds of the plan, no limit is known
            shares = (angle / view.limits[0], offset / view.limits[1]) if view.limits else ()
            severity = max(severity, angle / 90, *shares)
            flagged += [f"{view.name}_{'angle' if unit == 'deg' else 'offset'}_{unit}" for unit in view.far]
    return Summary(values, findings, severity, flagged=flagged)


def _planned(
    exam: str, stack: LoadedStack, output: Path, provenances: Mapping[str, Provenance], note: str, anonymous: bool
) -> PlannedExam:
    """Compare an exam's plan with its acquired views, and write its page and files into ``output``, which has those of the
    bundles; ``stack`` is its first phase."""
    item = stack.item
    folder, mask = output / stack.name, read_mask(output, stack.name)
    plan = json.loads((folder / "plan.json").read_text())
    views = [ComparedView.of(name, entry, stack.acquired.get(name)) for name, entry in plan["views"].items()]
    apart = {view.name: view.apart for view in views}
    findings = [
        *missing_slices(stack.affines, stack.thickness),
        *image_faults([stack.image.numpy()]),
        *findings_of(item),
        *(found for view in views for found in view.findings()),
    ]
    bounds = {view: [*bounds_in_words(entry, plan), note] for view, entry in plan["views"].items()}
    kept = clear_dicom(folder)
    with reported(kept):
        if is_dicom(item):
            hide = exam if anonymous else None
            write_plan(folder, item, plan, apart, findings, bounds, provenances[PLANS], hide)
    findings += kept
    plan = _with_findings(plan, views, findings)
    plan |= {"made_by": note, "weights": [each.content() for each in provenances.values()]}
    write_json(folder / "plan.json", plan)
    if is_dicom(item):
        write_nifti(folder / f"{stack.name}{IMAGE}.nii.gz", stack.image.numpy(), stack.image.affine)
    labels = None if mask is None else mask[0]
    shown = _shown(stack, plan, views, labels, findings, note)
    page = write_page(folder, shown)
    files, summary = written_in(folder), plan_summary(views, findings)
    return PlannedExam(stack.name, page, shown.lines, item, files, summary, apart, plan, labels, findings)


def _shown(
    stack: LoadedStack,
    plan: Mapping[str, Any],
    views: Sequence[ComparedView],
    labels: np.ndarray | None,
    findings: Sequence[Finding],
    note: str,
) -> ShownExam:
    phases = f", {plan['phases']} phases" if "phases" in plan else ""
    rows = []
    for view in views:
        verdict = "; ".join([view.entry["verdict"], *view.entry["reasons"]])
        agreement = "-" if view.entry["agreement"] is None else f"{view.entry['agreement']:.2f}"
        sure = "; ".join(plane_in_words(view.entry, plan)) or "-"
        rows.append([view.name, verdict, *view.cells, agreement, sure])
    return ShownExam(
        stack,
        [(f"{plan['slices']} slices{phases}: planned from the short axis alone", _HEADER, rows)],
        plan,
        labels,
        STRUCTURES,
        # the verdicts are in the table, and so are the remarks on planes
        flags=sentences(found for found in of_level(findings, FLAG) if found.code != "no-plane"),
        terms=[_COLUMNS],
        remarks=sentences(found for found in findings if found.level != FLAG and found.code != "plane-disagrees"),
        note=note,
    )


def _with_findings(
    plan: Mapping[str, Any], compared: Sequence[ComparedView], findings: Sequence[Finding]
) -> dict[str, Any]:
    """A plan with its distances from the acquired views and what was found out about it: each view has the findings on it,
    and the others are of the exam."""
    views = {}
    for view in compared:
        angle, offset = (round(value, 2) for value in view.apart) if view.apart else (None, None)
        own = [found.record() for found in findings if found.subject == view.name]
        views[view.name] = {**view.entry, "acquired_angle_deg": angle, "acquired_offset_mm": offset, "findings": own}
    return {**plan, "views": views, "findings": [found.record() for found in findings if found.subject not in views]}
