"""Write results of an exam (segmentations, planes and measurements) as DICOM files that belong to its study."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import torch
from matplotlib.colors import to_rgb
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from planewise.atomic_write import atomic_write
from planewise.errors import InputError
from planewise.exams.dicom_report import Finding, Measured, dicom_report, own_code
from planewise.exams.dicom_segmentation import MANUFACTURER, Structure, dicom_segmentation, series_segmentations
from planewise.exams.source_images import SourceImage, is_dicom, source_images
from planewise.geometry import clip_lines, intersection_lines, square_on_plane
from planewise.metrics.heart_volumes import HeartVolumes
from planewise.metrics.implausible_volumes import BODY_SURFACE, Flag, Number, flags_of, in_sentences
from planewise.own_exams.heart_bundles import PLANS, SEGMENTS, STRUCTURES
from planewise.own_exams.provenance import Provenance
from planewise.predicted_masks import CORRECTED, said_of_a_kept, set_aside
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.segmentation_figures import structure_colour

#: Endings of the files' names.
SEGMENTATION, REPORT = ".seg.dcm", ".sr.dcm"
#: Series numbers of the results. They are high, so that the series of the images come first.
_PLAN_SERIES, _VOLUMES_SERIES, _FIRST_SEGMENTATION_SERIES, _FIRST_CINE_SERIES = 9001, 9002, 9010, 9500
#: Side of the square that represents a planned plane, mm.
_SIDE = 200.0
#: Length of the lines that represent it on images, mm, to the left and right of its middle. OHIF puts a label at the
#: right end and at half height: with equal lengths, the labels of two views would overlap.
_LINE = (75.0, 100.0)

_SITES = {
    "LV": Code("87878005", "SCT", "Left ventricle"),
    "RV": Code("53085002", "SCT", "Right ventricle"),
    "myocardium": Code("49848007", "SCT", "Left Ventricle Myocardium"),
}
#: Names of the structures in DICOM files.
NAMES = {"LV": "Left ventricle", "RV": "Right ventricle", "myocardium": "Myocardium"}
_VIEWS = {"2ch": Code("399232001", "SCT", "Two chamber"), "4ch": Code("399214001", "SCT", "Four chamber")}
_VOLUME = Code("118565006", "SCT", "Volume")
_VOLUMES = {
    ("LV", "end-diastole"): Code("8821-1", "LN", "Left Ventricular ED Volume"),
    ("LV", "end-systole"): Code("8823-7", "LN", "Left Ventricular ES Volume"),
    ("RV", "end-diastole"): Code("8822-9", "LN", "Right Ventricular ED Volume"),
    ("RV", "end-systole"): Code("8824-5", "LN", "Right Ventricular ES Volume"),
}
_EJECTION_FRACTION = {
    "LV": Code("8811-2", "LN", "Left ventricular ejection fraction by MR"),
    "RV": Code("8818-7", "LN", "Right ventricular ejection fraction by MR"),
}
_STROKE_VOLUME = {
    "LV": Code("90096001", "SCT", "Stroke Volume"),
    "RV": Code("429483009", "SCT", "Right Ventricular Stroke Volume"),
}
_MASS = Code("18087-7", "LN", "Left Ventricle Mass")
_MILLILITRES, _GRAMS = Code("ml", "UCUM", "ml"), Code("g", "UCUM", "g")
#: The patient's body surface, and the unit of a value per body surface.
_PATIENT, _BODY_SURFACE = Code("116154003", "SCT", "Patient"), Code("8277-6", "LN", "BSA")
_SQUARE_METRES = Code("m2", "UCUM", "m2")
_PER_SURFACE = {unit: Code(f"{unit.value}/m2", "UCUM", f"{unit.value}/m2") for unit in (_MILLILITRES, _GRAMS)}
_STROKE_INDEX = {
    "LV": Code("277381004", "SCT", "Stroke Index"),
    "RV": Code("429619008", "SCT", "RV Stroke Index"),
}
_PERCENT = Code("%", "UCUM", "Percent")
_DEGREES, _MILLIMETRES = Code("deg", "UCUM", "deg"), Code("mm", "UCUM", "mm")
#: Concepts without a standard code.
_VOLUME_INDEX = own_code("volume_index", "Volume per body surface")
_MASS_INDEX = own_code("mass_index", "Left ventricle mass per body surface")
_VERDICT = own_code("verdict", "Verdict on a planned plane")
_ANSWERS = {"plane": own_code("plane", "Plane"), "no plane": own_code("no_plane", "No plane")}
_ANGLE = own_code("angle", "Angle between planned and acquired plane")
_OFFSET = own_code("offset", "Distance between planned and acquired plane at the heart")
_ANGLE_BOUND = own_code("angle_bound", "90 % error bound of the planned plane's angle")
_OFFSET_BOUND = own_code("offset_bound", "90 % error bound of the planned plane's offset")
#: Remark on the body surface.
_OF_THE_SURFACE = "Mosteller, from the height and weight typed at the scanner"


@dataclass(frozen=True)
class DicomOut:
    """Options for writing results as DICOM files, too.

    Attributes:
        wanted: whether to write the files; None writes them if the exam is DICOM.
        anonymous: whether to leave out the patient, see `source_images`. Otherwise the files name the patient like the
            images, because files without a patient do not belong to a study.
        all_phases: whether every phase gets a segmentation, see `write_segmentations`.
        per_series: whether every image series gets a segmentation, too, see `write_segmentations`.
    """

    wanted: bool | None = None
    anonymous: bool = False
    all_phases: bool = False
    per_series: bool = False

    def write(self, exam: str, item: Mapping[str, Any], make: Callable[[str | None], object]) -> list[str]:
        """Write an exam's files, after `clear_dicom`.

        Args:
            exam: hash of the exam.
            item: one of the exam's stacks.
            make: function that writes the files; called with ``hide`` of `source_images`.

        Returns:
            A sentence without a full stop on why there are no files although files were requested or expected.
        """
        if self.wanted is False:
            return []
        if not is_dicom(item):
            return ["no DICOM files: they refer to DICOM images, and this exam is NIfTI"] * bool(self.wanted)
        try:
            make(exam if self.anonymous else None)
        except InputError as error:
            return [f"no DICOM files: {error}"]
        return []


def clear_dicom(folder: Path) -> list[str]:
    """Remove an exam's DICOM files of an earlier run: they may show other phases or identify the patient. A file that
    another program wrote is kept under another name (`set_aside`); returns lines for the terminal on these files.
    """
    said = []
    for ending in (SEGMENTATION, REPORT):
        for file in sorted(folder.glob(f"*{ending}")):
            if is_own(file):
                file.unlink()
            elif CORRECTED not in file.name:
                said.append(f"  {said_of_a_kept(file, set_aside(file, ending))}")
    return said


def is_own(file: Path) -> bool:
    """Whether planewise wrote a DICOM file. Programs that save a corrected segmentation enter their own manufacturer."""
    header = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=["Manufacturer"])
    return header.get("Manufacturer") == MANUFACTURER


def write_plan(
    folder: Path,
    item: Mapping[str, Any],
    plan: Mapping[str, Any],
    apart: Mapping[str, tuple[float, float] | None],
    flags: Sequence[str],
    remarks: Mapping[str, Sequence[str]],
    provenance: Provenance,
    note: str,
    hide: str | None,
) -> Path:
    """Write ``plan.sr.dcm``: every view with its verdict, the plane as a square in patient space, and its numbers.

    Args:
        folder: folder of the exam.
        item: the planned stack, of DICOM images.
        plan: plan from `planewise.evaluation.PlanViewsd`.
        apart: for each view, angle (degrees) and offset (mm) from the acquired plane; None if no plane was acquired.
        flags: what a person should check, as on the exam's page. A flag that begins with a view is a comment on that view;
            the others concern the whole exam, so they are comments on every view.
        remarks: for each view, the remarks on its plane, as on the exam's page.
        provenance: the bundle and weights that planned the views.
        note: sentence on all weights that made the results.
        hide: see `source_images`.

    Raises:
        InputError: the images' headers cannot be used.
    """
    images = source_images(item["image"], hide)
    planned = [f"{view}: " for view in plan["views"]]
    findings = []
    for view, entry in plan["views"].items():
        own = [flag for flag in flags if flag.startswith(f"{view}: ") or not flag.startswith(tuple(planned))]
        said = [*(f"check: {flag}" for flag in own), *entry["reasons"], *remarks[view], note, RESEARCH_ONLY]
        findings.append(_view(view, entry, apart.get(view), said))
    findings = [*_lines(plan["views"], item["image"], images), *findings]
    report = dicom_report(
        images,
        findings,
        PLANS,
        provenance.version,
        provenance.weights,
        "planned views, research only",
        _PLAN_SERIES,
    )
    return _written(folder / f"plan{REPORT}", report)


def _view(view: str, entry: Mapping[str, Any], apart: tuple[float, float] | None, remarks: Sequence[str]) -> Finding:
    planned = entry["origin"] is not None
    numbers = [
        Measured(name, value, unit)
        for name, value, unit in (
            (_ANGLE, apart[0] if apart else None, _DEGREES),
            (_OFFSET, apart[1] if apart else None, _MILLIMETRES),
            (_ANGLE_BOUND, entry["within_deg"], _DEGREES),
            (_OFFSET_BOUND, entry["within_mm"], _MILLIMETRES),
        )
        if value is not None and math.isfinite(value)
    ]
    corners = None
    if planned:
        origin, normal = (torch.tensor(entry[key], dtype=torch.float64) for key in ("origin", "normal"))
        corners = square_on_plane(origin, normal / normal.norm(), _SIDE).numpy()
    return Finding(
        name=f"{view}, planned" if planned else f"{view}, no plane",
        kind=_VIEWS.get(view, own_code(view[:16], f"{view} view"[:64])),
        numbers=numbers,
        judgements=[(_VERDICT, _ANSWERS["plane" if planned else "no plane"])],
        remarks=remarks,
        corners=corners,
    )


def _lines(
    views: Mapping[str, Mapping[str, Any]], slices: Sequence[Mapping[str, Any]], sources: Sequence[SourceImage]
) -> list[Finding]:
    """The lines along which the planned planes cut the images, for viewers that draw on images only (OHIF).

    The middle slice comes first: OHIF opens the image of the first line, and does not open other series of the stack.
    """
    found = []
    middle = len(sources) // 2
    for number in [*range(middle, len(sources)), *range(middle)]:
        image, affine = sources[number], slices[number]["affine"]
        for view, entry in views.items():
            if entry["origin"] is None:
                continue
            line = intersection_lines(*(torch.tensor(x) for x in (affine, entry["origin"], entry["normal"])))
            ends = _about(affine, entry["origin"], line, (image.header.Columns, image.header.Rows))
            bound = Measured(
                own_code(f"line_{view}"[:16], f"{view}, 90 % error bound"[:64]), entry["within_mm"], _MILLIMETRES
            )
            if np.isfinite(ends).all():
                found.append(
                    Finding(
                        name=f"{view}, planned, slice {number + 1}",
                        kind=_VIEWS.get(view, own_code(view[:16], f"{view} view"[:64])),
                        numbers=[bound] if bound.value is not None and math.isfinite(bound.value) else [],
                        remarks=[RESEARCH_ONLY],
                        line=(image, ends),
                    )
                )
    return found


def _about(affine: Any, origin: Any, line: torch.Tensor, shape: tuple[int, int]) -> np.ndarray:
    """The part of a line on both sides of a point, ``(2, 2)``; NaN if it is outside the image."""
    ends = clip_lines(line, shape).numpy()
    if ends[0, 0] > ends[1, 0]:
        ends = ends[::-1]
    matrix = np.asarray(affine, dtype=float)[:3]
    point = np.linalg.lstsq(matrix[:, :2], np.asarray(origin) - matrix[:, 3], rcond=None)[0]
    spacing = np.linalg.norm(matrix[:, :2], axis=0)
    length = np.linalg.norm((ends[1] - ends[0]) * spacing)
    direction = (ends[1] - ends[0]) / length  # pixels per mm
    near = (point - ends[0]) * spacing @ (direction * spacing)
    part = np.clip([near - _LINE[0], near + _LINE[1]], 0, length)
    return ends[0] + part[:, None] * direction if part[0] < part[1] else np.full((2, 2), np.nan)


def write_segmentations(
    folder: Path,
    items: Sequence[Mapping[str, Any]],
    labels: Sequence[Any],
    names: Sequence[str],
    found: HeartVolumes,
    surface: float | None,
    flags: Sequence[Flag],
    corrected: Sequence[Flag],
    chosen: Sequence[str],
    provenance: Provenance,
    note: str,
    options: DicomOut,
    hide: str | None,
) -> list[Path]:
    """Write ``phaseNN.seg.dcm``, and ``volumes.sr.dcm`` with the volumes.

    Each phase has a separate file, because a DICOM SEG has no time: viewers overlay it on the images that it names. By
    default, only end-diastole and end-systole get a file, because people read and correct these phases. Each file is a
    separate series of the study, so with a file for each of 25 phases, a viewer's list of series would hide the images.

    Args:
        folder: folder of the exam.
        items: the stack of each phase, of DICOM images.
        labels: label map of each phase, ``(i, j, slices)``.
        names: name of each phase's files, without the ending.
        found: the volumes.
        surface: the patient's body surface (m2, Mosteller), for values per m2; None if unknown.
        flags: implausible numbers.
        corrected: a mark for each label map that a person corrected.
        chosen: sentences that say how end-diastole, end-systole and the images were chosen.
        provenance: the bundle and weights that made the label maps.
        note: sentence on these weights.
        options: with ``all_phases``, every phase gets a file; ``per_series`` also writes ``seriesN.seg.dcm``, a file for
            each series of images, with all phases, see `series_segmentations`.
        hide: see `source_images`.

    Raises:
        InputError: the images' headers cannot be used.
    """
    structures = [
        Structure(value, NAMES[name], _SITES[name], to_rgb(structure_colour(value)))
        for value, name in STRUCTURES.items()
    ]
    moments = {found.end_diastole: "end-diastole" if len(items) > 1 else "the only phase"} | (
        {found.end_systole: "end-systole"} if len(items) > 1 and found.end_systole != found.end_diastole else {}
    )
    by_hand = {mark.phase for mark in corrected}
    images, segmented, uids = {}, {}, generate_uid()
    for phase in range(len(items)) if options.all_phases or options.per_series else sorted(moments):
        images[phase] = source_images(items[phase]["image"], hide)
        when = moments.get(phase) or names[phase]
        segmented[phase] = dicom_segmentation(
            images[phase],
            labels[phase],
            structures,
            SEGMENTS,
            provenance.version,
            provenance.weights,
            f"heart at {when}, {'corrected' if phase in by_hand else provenance.short}, research only",
            _FIRST_SEGMENTATION_SERIES + phase,
            phase in by_hand,
        )
        segmented[phase].SeriesInstanceUID = _series_uid(uids, segmented[phase])

    def remarks(name: str, quantity: str, phase: int | None = None) -> list[str]:
        """Which corrected masks a number comes from, what to check about it, and the notes on all numbers, in words."""
        number = Number(name, quantity, phase, surface is not None)
        marks = [mark.text for mark in flags_of(number, corrected, found)]
        doubts = [f"check: {sentence}" for sentence in in_sentences(flags_of(number, flags, found), found)]
        return [*marks, *doubts, *chosen, note, RESEARCH_ONLY]

    findings = [
        finding
        for phase, moment in moments.items()
        for finding in _volumes(phase, moment, found, surface, remarks, segmented[phase], images[phase])
    ]
    if len(moments) > 1:
        findings += [_function(name, found, surface, remarks) for name in ("LV", "RV")]
    if surface is not None:
        measured = [Measured(_BODY_SURFACE, surface, _SQUARE_METRES)]
        doubts = [f"check: {flag.text}" for flag in flags if flag.quantity == BODY_SURFACE]
        said = [*doubts, _OF_THE_SURFACE, note, RESEARCH_ONLY]
        findings.append(Finding("Body surface", _PATIENT, measured, remarks=said))
    used = {image.uid: image for phase in moments for image in images[phase]}
    report = dicom_report(
        list(used.values()),
        findings,
        SEGMENTS,
        provenance.version,
        provenance.weights,
        "ventricular volumes, research only",
        _VOLUMES_SERIES,
    )
    kept = segmented if options.all_phases else moments
    files = {f"volumes{REPORT}": report}
    files |= {f"{names[phase]}{SEGMENTATION}": segmented[phase] for phase in sorted(kept)}
    if options.per_series:
        cines = series_segmentations(
            list(segmented.values()),
            list(images.values()),
            lambda number: f"heart, series {number}, {'corrected' if by_hand else provenance.short}, research only",
            _FIRST_CINE_SERIES,
        )
        for number, cine in enumerate(cines, start=1):
            cine.SeriesInstanceUID = _series_uid(uids, cine)
            cine.SegmentSequence = segmented[max(by_hand, default=0)].SegmentSequence
            files[f"series{number}{SEGMENTATION}"] = cine
    return [_written(folder / name, dataset) for name, dataset in files.items()]


def _series_uid(uid: str, segmentation: Dataset) -> str:
    """A UID for a segmentation's series, from a UID of the run: OHIF lists segmentations by descending UID."""
    return f"{uid[:58]}.{19999 - segmentation.SeriesNumber}"


def _volumes(
    phase: int,
    moment: str,
    found: HeartVolumes,
    surface: float | None,
    remarks: Callable[[str, str, int], list[str]],
    segmentation: Dataset,
    images: Sequence[SourceImage],
) -> list[Finding]:
    findings = []
    for number, name in enumerate(STRUCTURES.values(), start=1):
        ml = found.volumes[name][phase]
        numbers = [Measured(_VOLUMES.get((name, moment), _VOLUME), ml, _MILLILITRES)]
        if name != "myocardium":
            numbers += _indexed(_VOLUME_INDEX, numbers[0], surface)
        elif phase == found.end_diastole:  # a report has one mass
            mass = Measured(_MASS, found.masses[phase], _GRAMS)
            numbers += [mass, *_indexed(_MASS_INDEX, mass, surface)]
        findings.append(
            Finding(
                name=f"{NAMES[name]}, {moment}",
                kind=_SITES[name],
                numbers=numbers,
                # the mass has every flag of the volume
                remarks=remarks(name, "mass" if name == "myocardium" else "volume", phase),
                segment=(segmentation, number),
                images=images,
            )
        )
    return findings


def _indexed(name: Code, value: Measured, surface: float | None) -> list[Measured]:
    """The value per body surface, as on the exam's page; none if the body surface is unknown."""
    return [] if surface is None else [Measured(name, value.value / surface, _PER_SURFACE[value.unit])]


def _function(
    name: str, found: HeartVolumes, surface: float | None, remarks: Callable[[str, str], list[str]]
) -> Finding:
    stroke_volume = Measured(_STROKE_VOLUME[name], found.stroke_volume(name), _MILLILITRES)
    values = [
        stroke_volume,
        *_indexed(_STROKE_INDEX[name], stroke_volume, surface),
        Measured(_EJECTION_FRACTION[name], found.ejection_fraction(name), _PERCENT),
    ]
    return Finding(
        name=f"{NAMES[name]}, function",
        kind=_SITES[name],
        numbers=[value for value in values if math.isfinite(value.value)],
        # the ejection fraction has every flag of the stroke volume
        remarks=remarks(name, "ejection fraction"),
    )


def _written(path: Path, dataset: Dataset) -> Path:
    now = datetime.now()
    dataset.SeriesDate, dataset.SeriesTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S.%f")
    with atomic_write(path) as part:
        pydicom.dcmwrite(part, dataset)
    return path
