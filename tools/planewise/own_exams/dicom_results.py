"""Write results of an exam (segmentations, planes and measurements) as DICOM files that belong to its study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pydicom
import torch
from matplotlib.colors import to_rgb
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from planewise.data.readable_items import reason_of
from planewise.errors import InputError
from planewise.exams.dicom_report import Measured, ReportGroup, dicom_report, own_code
from planewise.exams.dicom_segmentation import MANUFACTURER, Structure, dicom_segmentation, series_segmentations
from planewise.exams.source_images import SourceImage, source_images
from planewise.files.atomic_write import atomic_write
from planewise.files.masks import CORRECTED, set_aside
from planewise.findings import FLAG, Finding
from planewise.geometry import square_on_plane
from planewise.own_exams.bundles import PLANS, SEGMENTS, Provenance
from planewise.own_exams.heart_results import VENTRICLES, HeartResults, Number
from planewise.own_exams.masks import STRUCTURES
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.slices import structure_colour

#: Endings of the files' names.
SEGMENTATION, REPORT = ".seg.dcm", ".sr.dcm"
#: Series numbers of the results. They are high, so that the series of the images come first.
_PLAN_SERIES, _VOLUMES_SERIES, _FIRST_SEGMENTATION_SERIES, _FIRST_CINE_SERIES = 9001, 9002, 9010, 9500
#: Side of the square that represents a planned plane, mm.
_SIDE = 200.0

_SITES = {
    "LV": Code("87878005", "SCT", "Left ventricle"),
    "RV": Code("53085002", "SCT", "Right ventricle"),
    "myocardium": Code("49848007", "SCT", "Left Ventricle Myocardium"),
}
#: Names of the structures in DICOM files.
NAMES = {"LV": "Left ventricle", "RV": "Right ventricle", "myocardium": "Myocardium"}
_VIEWS = {"2ch": Code("399232001", "SCT", "Two chamber"), "4ch": Code("399214001", "SCT", "Four chamber")}
_VOLUME, _MASS = Code("118565006", "SCT", "Volume"), Code("18087-7", "LN", "Left Ventricle Mass")
#: Codes of numbers by `Number.name`; all other volumes have the general code.
_NUMBERS = {
    "LV volume at end-diastole": Code("8821-1", "LN", "Left Ventricular ED Volume"),
    "LV volume at end-systole": Code("8823-7", "LN", "Left Ventricular ES Volume"),
    "RV volume at end-diastole": Code("8822-9", "LN", "Right Ventricular ED Volume"),
    "RV volume at end-systole": Code("8824-5", "LN", "Right Ventricular ES Volume"),
    "LV ejection fraction": Code("8811-2", "LN", "Left ventricular ejection fraction by MR"),
    "RV ejection fraction": Code("8818-7", "LN", "Right ventricular ejection fraction by MR"),
    "LV stroke volume": Code("90096001", "SCT", "Stroke Volume"),
    "RV stroke volume": Code("429483009", "SCT", "Right Ventricular Stroke Volume"),
}
_UNITS = {unit: Code(unit, "UCUM", unit) for unit in ("ml", "g")} | {"%": Code("%", "UCUM", "Percent")}
_DEGREES, _MILLIMETRES = Code("deg", "UCUM", "deg"), Code("mm", "UCUM", "mm")
#: Concepts without a standard code.
_VERDICT = own_code("verdict", "Verdict on a planned plane")
_ANSWERS = {"plane": own_code("plane", "Plane"), "no plane": own_code("no_plane", "No plane")}
_ANGLE = own_code("angle", "Angle between planned and acquired plane")
_OFFSET = own_code("offset", "Distance between planned and acquired plane at the heart")
_ANGLE_BOUND = own_code("angle_bound", "90 % error bound of the planned plane's angle")
_OFFSET_BOUND = own_code("offset_bound", "90 % error bound of the planned plane's offset")


@contextmanager
def reported(findings: list[Finding]) -> Iterator[None]:
    """Add a finding on why a DICOM exam has no files, if its images' headers cannot be used."""
    try:
        yield
    except InputError as error:
        findings.append(reason_of(error))


def clear_dicom(folder: Path) -> list[Finding]:
    """Remove an exam's DICOM files of an earlier run: they may show other phases or identify the patient. A file that
    another program wrote is kept under another name (`set_aside`); returns findings on these files.
    """
    kept = []
    for ending in (SEGMENTATION, REPORT):
        for file in sorted(folder.glob(f"*{ending}")):
            header = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=["Manufacturer"])
            # programs that save a corrected segmentation enter their own manufacturer
            if header.get("Manufacturer") == MANUFACTURER:
                file.unlink()
            elif CORRECTED not in file.name:
                kept.append(set_aside(file, ending))
    return kept


def write_plan(
    folder: Path,
    item: Mapping[str, Any],
    plan: Mapping[str, Any],
    apart: Mapping[str, tuple[float, float] | None],
    findings: Sequence[Finding],
    remarks: Mapping[str, Sequence[str]],
    provenance: Provenance,
    hide: str | None,
) -> Path:
    """Write ``plan.sr.dcm``: every view with its verdict, the plane as a square in patient space, and its numbers.

    Args:
        folder: folder of the exam.
        item: the planned stack, of DICOM images.
        plan: plan from `planewise.evaluation.PlanViewsd`.
        apart: for each view, angle (degrees) and offset (mm) from the acquired plane; None if no plane was acquired.
        findings: findings about the views, and about the whole exam or other views, which are comments on every view.
        remarks: for each view, further comments.
        provenance: the weights that planned the views.
        hide: see `source_images`; without it, the files name the patient like the images, because files without a patient do
            not belong to a study.

    Raises:
        InputError: the images' headers cannot be used.
    """
    images = source_images(item["image"], hide)
    groups = []
    for view, entry in plan["views"].items():
        own = [found for found in findings if found.subject == view or found.subject not in plan["views"]]
        groups.append(_view(view, entry, apart.get(view), [*_comments(own), *remarks[view], RESEARCH_ONLY]))
    made_by = (PLANS, provenance.version, provenance.weights)
    report = dicom_report(images, groups, *made_by, "planned views, research only", _PLAN_SERIES)
    return _written(folder / f"plan{REPORT}", report)


def _finite(*numbers: tuple[Code, float | None, Code]) -> list[Measured]:
    """The measurements whose values are known."""
    return [Measured(name, value, unit) for name, value, unit in numbers if value is not None and math.isfinite(value)]


def _comments(findings: Sequence[Finding]) -> list[str]:
    """Findings in words; flags ask a person to check."""
    return [f"{'check: ' * (found.level == FLAG or bool(found.marks))}{found}" for found in findings]


def _view(
    view: str, entry: Mapping[str, Any], apart: tuple[float, float] | None, remarks: Sequence[str]
) -> ReportGroup:
    planned = entry["origin"] is not None
    angle, offset = apart or (None, None)
    corners = None
    if planned:
        origin, normal = (torch.tensor(entry[key], dtype=torch.float64) for key in ("origin", "normal"))
        corners = square_on_plane(origin, normal / normal.norm(), _SIDE).numpy()
    return ReportGroup(
        name=f"{view}, planned" if planned else f"{view}, no plane",
        kind=_VIEWS.get(view, own_code(view[:16], f"{view} view"[:64])),
        numbers=_finite(
            (_ANGLE, angle, _DEGREES),
            (_OFFSET, offset, _MILLIMETRES),
            (_ANGLE_BOUND, entry["within_deg"], _DEGREES),
            (_OFFSET_BOUND, entry["within_mm"], _MILLIMETRES),
        ),
        judgements=[(_VERDICT, _ANSWERS["plane" if planned else "no plane"])],
        remarks=remarks,
        corners=corners,
    )


def write_segmentations(
    folder: Path,
    items: Sequence[Mapping[str, Any]],
    labels: Sequence[Any],
    results: HeartResults,
    remarks: Sequence[str],
    provenance: Provenance,
    per_series: bool,
    hide: str | None,
) -> list[Path]:
    """Write ``phaseNN.seg.dcm``, and ``volumes.sr.dcm`` with the volumes.

    Each phase has a separate file, because a DICOM SEG has no time: viewers overlay it on the images that it names. Only
    end-diastole and end-systole get a file: people read and correct these phases, and 25 more series would hide the images
    in a viewer's list.

    Args:
        folder: folder of the exam.
        items: the stack of each phase, of DICOM images.
        labels: label map of each phase, ``(i, j, slices)``.
        results: the volumes.
        remarks: comments on every number.
        provenance: the weights that made the label maps.
        per_series: whether to write ``seriesN.seg.dcm``, too, a file for each series of images, with all phases, see
            `series_segmentations`.
        hide: see `source_images`.

    Raises:
        InputError: the images' headers cannot be used.
    """
    names = results.names
    moments = {phase: results.moments(phase)[0] for phase in (results.end_diastole, results.end_systole)}
    if not results.several:
        moments = {results.end_diastole: "the only phase"}
    wanted = range(len(items)) if per_series else sorted(moments)
    images = {phase: source_images(items[phase]["image"], hide) for phase in wanted}
    uid, segmented = generate_uid(), {}
    structures = [
        Structure(value, NAMES[name], _SITES[name], to_rgb(structure_colour(value)))
        for value, name in STRUCTURES.items()
    ]
    for phase, sources in images.items():
        corrected = phase in results.corrected
        made_by = "corrected" if corrected else provenance.short
        segmented[phase] = dicom_segmentation(
            sources,
            labels[phase],
            structures,
            SEGMENTS,
            provenance.version,
            provenance.weights,
            f"heart at {moments.get(phase) or names[phase]}, {made_by}, research only",
            _FIRST_SEGMENTATION_SERIES + phase,
            corrected,
        )
        segmented[phase].SeriesInstanceUID = _series_uid(uid, segmented[phase])
    files = {f"volumes{REPORT}": _volumes_report(results, moments, segmented, images, remarks, provenance)}
    files |= {f"{names[phase]}{SEGMENTATION}": segmented[phase] for phase in sorted(moments)}
    if per_series:
        made_by = "corrected" if results.corrected else provenance.short
        name = f"heart, series {{}}, {made_by}, research only".format
        cines = series_segmentations([*segmented.values()], [*images.values()], name, _FIRST_CINE_SERIES)
        for number, cine in enumerate(cines, start=1):
            cine.SeriesInstanceUID = _series_uid(uid, cine)
            cine.SegmentSequence = segmented[max(results.corrected, default=0)].SegmentSequence
            files[f"series{number}{SEGMENTATION}"] = cine
    return [_written(folder / name, dataset) for name, dataset in files.items()]


def _volumes_report(
    results: HeartResults,
    moments: Mapping[int, str],
    segmented: Mapping[int, Dataset],
    sources: Mapping[int, Sequence[SourceImage]],
    remarks: Sequence[str],
    provenance: Provenance,
) -> Dataset:
    """The report on the volumes at end-diastole and end-systole, and the function."""
    groups = []
    for phase, moment in moments.items():
        for number, name in enumerate(STRUCTURES.values(), start=1):
            numbers = [results.number(name, "volume", phase)]
            if name == "myocardium" and phase == results.end_diastole:  # a report has one mass
                numbers.append(results.number(name, "mass", phase))
            # the mass has every flag of the volume
            said = [*_said_of(numbers[-1]), *remarks, RESEARCH_ONLY]
            where = {"segment": (segmented[phase], number), "images": sources[phase]}
            measured = _measured(numbers)
            groups.append(ReportGroup(f"{NAMES[name]}, {moment}", _SITES[name], measured, remarks=said, **where))
    for name in VENTRICLES if len(moments) > 1 else ():
        numbers = [results.number(name, quantity) for quantity in ("stroke volume", "ejection fraction")]
        # the ejection fraction has every flag of the stroke volume
        said = [*_said_of(numbers[1]), *remarks, RESEARCH_ONLY]
        groups.append(ReportGroup(f"{NAMES[name]}, function", _SITES[name], _measured(numbers), remarks=said))
    used = {image.uid: image for phase in moments for image in sources[phase]}
    made_by = (SEGMENTS, provenance.version, provenance.weights)
    return dicom_report([*used.values()], groups, *made_by, "ventricular volumes, research only", _VOLUMES_SERIES)


def _measured(numbers: Sequence[Number]) -> list[Measured]:
    """Numbers with their codes."""
    codes = (_MASS if number.quantity == "mass" else _NUMBERS.get(number.name, _VOLUME) for number in numbers)
    return _finite(*((code, number.value, _UNITS[number.unit]) for code, number in zip(codes, numbers, strict=True)))


def _said_of(number: Number) -> list[str]:
    """Which corrected masks a number comes from, and what to check about it."""
    return [f"from a mask that a person corrected: {file}" for file in number.corrected] + _comments(number.flags)


def _series_uid(uid: str, segmentation: Dataset) -> str:
    """A UID for a segmentation's series, from a UID of the run: OHIF lists segmentations by descending UID."""
    return f"{uid[:58]}.{19999 - segmentation.SeriesNumber}"


def _written(path: Path, dataset: Dataset) -> Path:
    now = datetime.now()
    dataset.SeriesDate, dataset.SeriesTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S.%f")
    with atomic_write(path) as part:
        pydicom.dcmwrite(part, dataset)
    return path
