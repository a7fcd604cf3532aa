"""Segment the exams in a folder and write masks, volumes and pages: run the segmentation bundle, and compute values
from its label maps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from planewise.data.select_items import heart_problem
from planewise.engines import Inference, keep_quiet
from planewise.exams.source_images import is_dicom
from planewise.files.masks import IMAGE
from planewise.files.nifti import write_nifti
from planewise.findings import FLAG, Finding, finding, sentences
from planewise.own_exams.archive import ExamWork, MadePage, written_in
from planewise.own_exams.bundles import SEGMENTS, Note, Provenance, bundle_and_weights, made_by
from planewise.own_exams.dicom_results import clear_dicom, reported, write_segmentations
from planewise.own_exams.exam_page import ShownExam, write_page
from planewise.own_exams.heart_results import (
    VENTRICLES,
    HeartResults,
    heart_volumes,
    volume_columns,
    volume_content,
    volume_summary,
    volume_table,
    which_phases,
)
from planewise.own_exams.heart_stacks import OFF, LoadedStack, findings_of, predicted, switched
from planewise.own_exams.implausible_volumes import image_faults, implausible_volumes
from planewise.own_exams.masks import STRUCTURES, corrected_masks, read_mask, write_slicer_segmentation
from planewise.own_exams.zoo_bundle import zoo_bundle
from planewise.preprocessing.exam_name import volume_name
from planewise.preprocessing.load_stack import missing_slices, own_thickness, spacing_findings
from planewise.reports.tables import write_csv, write_json
from planewise.words import as_sentence, count_of

#: What the numbers on the page of an archive mean.
_ARCHIVE = (
    "Volumes and function of the left (LV) and right (RV) ventricle. Exams without a heart in their masks come first, then "
    "those with the most implausible numbers. Open an exam's page to check."
)


@dataclass(frozen=True)
class SegmentedExam(MadePage):
    """A segmented heart."""

    volumes: HeartResults
    """the volumes of every phase (by structure, under ``volumes``), what follows from them, and what was found out"""
    labels: Sequence[np.ndarray]
    """label map of each phase, ``(i, j, slices)``, uint8 (1 RV, 2 myocardium, 3 LV), on the image's grid"""

    @property
    def phases(self) -> Sequence[str]:
        """The name of each phase's files, in temporal order."""
        return self.volumes.files

    @property
    def flags(self) -> Sequence[Finding]:
        """What makes numbers doubtful."""
        return self.volumes.flags


def segment_exams(path: str | Path, output: str | Path | None = None, **options: Any) -> list[SegmentedExam]:
    """Run the segmentation bundle on every phase, and write every exam's volumes and page.

    If a phase of one of several exams cannot be read, that exam is left out and reported.

    Args:
        path, options: as for `segmenting`, which also says which errors are raised.
        output: folder for pages, tables and masks; None keeps no files.
    """
    return segmenting(path, **options).run(output)


def segmenting(
    path: str | Path,
    *,
    weights: str | Path | None = None,
    min_obliquity: float | None = None,
    per_series: bool = False,
    anonymous: bool = False,
    workers: int = 1,
) -> ExamWork:
    """Find the exams to segment.

    Args:
        path: folder of DICOM files, or a volume.
        weights: see `bundle_and_weights`, or the folder of another bundle (`ZooBundle`); None uses the weights that ship.
        min_obliquity: see `stacks_in`.
        per_series: also write a DICOM segmentation of each image series, with all phases.
        anonymous: leave the patient's name, dates and all other text out of the DICOM files; the UIDs stay.
        workers: see `planewise.exams.scan_folder`.

    Raises:
        InputError: there are no weights, or no exam can be read or has a possible short axis; when the work runs, the bundle
            refuses its input.
    """
    keep_quiet()
    zoo = None if weights is None else zoo_bundle(Path(weights).expanduser())
    bundle, used = (zoo.folder, zoo.folder) if zoo else bundle_and_weights(SEGMENTS, weights)
    provenance = zoo.provenance if zoo else Provenance.of(bundle, used)
    note = made_by([("masks", provenance)], "the error of these volumes on patients")
    options = {"per_series": per_series, "anonymous": anonymous}

    @cache
    def inference(masks: Path) -> Inference:
        given = {"weights": used, "min_obliquity": min_obliquity, "output_dir": masks}
        return Inference(bundle, given | switched(bundle, {"SegmentationWriter": OFF}))

    def make(exam: str, items: Sequence[Mapping[str, Any]], output: Path) -> SegmentedExam:
        run = zoo.segment if zoo else inference
        stacks = predicted(exam, items, run(output / "masks"))
        return _segmented(exam, items, stacks, output, provenance, note, **options)

    settings = {"weights": provenance.sha256, "min_obliquity": min_obliquity, **options}
    about = {"note": note, "title": "Segmented exams", "explained": _ARCHIVE}
    return ExamWork.at("segment", path, settings, True, workers, make, **about)


def _segmented(
    exam: str,
    items: Sequence[Mapping[str, Any]],
    stacks: Sequence[LoadedStack],
    output: Path,
    provenance: Provenance,
    note: Note,
    per_series: bool,
    anonymous: bool,
) -> SegmentedExam:
    """Measure the masks of an exam's phases, and write its tables, page and DICOM files."""
    folder, masks = output / exam, output / "masks"
    folder.mkdir(parents=True, exist_ok=True)
    kept = clear_dicom(folder)
    labels, results = measure(exam, items, stacks, masks)
    for name, stack in zip(results.files, stacks, strict=True) if is_dicom(items[0]) else ():
        write_nifti(masks / name / f"{name}{IMAGE}.nii.gz", stack.image.numpy(), stack.image.affine)
    # each number names the corrected masks behind it
    general = [found for found in results.notes if found.code != "corrected-mask"]
    remarks = [*which_phases(results), *map(as_sentence, sentences(general)), str(note)]
    with reported(kept):
        if is_dicom(items[0]):
            hide = exam if anonymous else None
            write_segmentations(folder, items, labels, results, remarks, provenance, per_series, hide)
    results = replace(results, findings=[*results.findings, *kept])
    shown = _shown(results, stacks[results.end_diastole], labels, str(note))
    page = write_page(folder, shown)
    write_csv(folder / "volumes.csv", volume_columns(results, items) | {"note": [note.made_by] * len(items)})
    content = volume_content(results) | {"made_by": str(note), "weights": provenance.content()}
    write_json(folder / "volumes.json", content)
    files = written_in(folder, *(masks / name for name in results.files))
    item = items[results.end_diastole]
    return SegmentedExam(exam, page, shown.lines, item, files, volume_summary(results), results, labels)


def measure(
    exam: str, items: Sequence[Mapping[str, Any]], stacks: Sequence[LoadedStack], masks: Path
) -> tuple[list[np.ndarray], HeartResults]:
    """Measure the masks of an exam's phases (``items``, and the same loaded), and judge the volumes. Returns the label map of
    each phase, the network's or a corrected one, and the results."""
    names = [volume_name(item) for item in items]
    networks, affines = zip(*(read_mask(masks, name) for name in names), strict=True)
    for name, own, affine in zip(names, networks, affines, strict=True):
        write_slicer_segmentation(masks / name / f"{name}.seg.nrrd", own, affine, STRUCTURES)
    corrected, refused = corrected_masks(masks, names)
    labels = [corrected[number].labels if number in corrected else own for number, own in enumerate(networks)]
    places = stacks[0].affines
    thickness = own_thickness(places)
    found = network = heart_volumes(networks, affines, thickness=thickness)
    if corrected:
        may_be = {network.end_diastole, network.end_systole, *corrected}
        found = replace(heart_volumes(labels, affines, may_be, thickness), corrected=corrected)
    shorts = [name.removeprefix(f"{exam}_") if name != exam else "segmentation" for name in names]
    # such as phase38; unknown if the phases have other names
    shares = [re.fullmatch(r"phase(\d\d)", str(item.get("phase", ""))) for item in items]
    times = [int(share[1]) / 100 for share in shares if share] if all(shares) else None
    found = replace(found, times=times, names=shorts, exam=exam, files=names)
    spacing = np.linalg.norm(affines[found.end_diastole][:3, :3], axis=0).tolist()
    no_heart = heart_problem(np.isin(labels[found.end_diastole], list(STRUCTURES)), spacing)
    findings: list[Finding] = []
    if corrected:
        findings.append(finding("corrected-mask", kind="used", files=[mask.file.name for mask in corrected.values()]))
    if (found.end_diastole in corrected) != (found.end_systole in corrected):
        moments = ["end-diastole", "end-systole"]
        own, other = moments if found.end_diastole in corrected else moments[::-1]
        findings.append(finding("corrected-mask", kind="mixed", own=own, other=other))
    findings += [
        *refused,
        *([no_heart] if no_heart else []),
        *spacing_findings(places),
        *missing_slices(places, stacks[0].thickness),
        *(each for each in findings_of(items[0]) if not each.subject or each.level != FLAG),  # not those of other views
        *image_faults([stack.image.numpy() for stack in stacks]),
        *implausible_volumes(found),
    ]
    return labels, replace(found, findings=findings)


def _shown(results: HeartResults, stack: LoadedStack, labels: Sequence[np.ndarray], note: str) -> ShownExam:
    """The page at end-diastole."""
    return ShownExam(
        replace(stack, name=results.exam),
        [(count_of(results.count, "phase"), *volume_table(results))],
        labels=labels[results.end_diastole],
        structures=STRUCTURES,
        flags=sentences(results.flags),
        terms=which_phases(results),
        remarks=sentences(results.notes),
        note=note,
        curves={structure: results.volumes[structure] for structure in VENTRICLES},
        moments=results.names,
        corrected=[*results.corrected],
    )
