"""Segment the exams in a folder and write masks, volumes and pages: run the segmentation bundle, and compute values
from its label maps.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from planewise.data.hearts import heart_problem
from planewise.engines.quiet import keep_quiet
from planewise.engines.run_inference import run_inference
from planewise.evaluation.segmentation_report import draw_segmentation
from planewise.exams.source_images import body_size, is_dicom
from planewise.files.nifti import write_nifti
from planewise.files.predicted_masks import IMAGE
from planewise.findings import FLAG, Finding, finding, sentences
from planewise.metrics.heart_volumes import HeartVolumes, body_surface, heart_volumes
from planewise.own_exams.corrected_masks import CorrectedMask, corrected_masks, read_labels
from planewise.own_exams.dicom_results import clear_dicom, write_dicom, write_segmentations
from planewise.own_exams.exam_page import ShownExam
from planewise.own_exams.heart_bundles import (
    SEGMENTS,
    STRUCTURES,
    ExamWork,
    LoadedStack,
    MadePage,
    findings_of,
    in_sentences,
    load_stack,
    mask_file,
    output_folder,
    private_datalist,
    read_exams,
    read_mask,
    slices_of,
    stacks_in,
    without,
    write_page,
    written_in,
)
from planewise.own_exams.heart_results import VENTRICLES, HeartResults
from planewise.own_exams.implausible_volumes import image_faults, implausible_volumes
from planewise.own_exams.load_bundle import bundle_and_weights
from planewise.own_exams.provenance import Note, Provenance, made_by
from planewise.own_exams.slicer_segmentation import write_slicer_segmentation
from planewise.own_exams.write_volumes import (
    in_lines,
    shown_flags,
    volume_columns,
    volume_content,
    volume_summary,
    volume_table,
    which_phases,
)
from planewise.preprocessing.exam_name import exam_of, volume_name
from planewise.preprocessing.load_stack import missing_slices, own_thickness, spacing_findings
from planewise.reports.page_style import DO_NOT_USE, FLAGGED
from planewise.reports.tables import write_csv, write_json
from planewise.words import as_sentence, count_of

#: Title of the indexed values, which depend on the height and weight typed at the scanner.
_INDEXED = "per m2 of body surface ({:.2f} m2, Mosteller, from the height and weight typed at the scanner)"

#: What the numbers on the page of an archive mean.
_ARCHIVE = (
    "Volumes and function of the left (LV) and right (RV) ventricle. Exams without a heart in their masks come first, then "
    "those with the most implausible numbers. Open an exam's page to check."
)


@dataclass(frozen=True)
class SegmentedExam(MadePage):
    """A segmented heart.

    Attributes:
        results: the volumes of every phase, the values derived from them, and everything that was found out about them.
        masks: file of each phase's label map, the network's or a corrected one; deleted if the call had no output folder.
    """

    results: HeartResults
    masks: Sequence[Path]

    @property
    def phases(self) -> Sequence[str]:
        """The name of each phase's files, in temporal order."""
        return self.results.files

    @property
    def volumes(self) -> HeartVolumes:
        return self.results.volumes

    @property
    def flags(self) -> Sequence[Finding]:
        """What makes numbers doubtful."""
        return self.results.flags

    @cached_property
    def labels(self) -> list[np.ndarray]:
        """Label map of each phase, ``(i, j, slices)``, uint8 (1 RV, 2 myocardium, 3 LV), on the image's grid."""
        return [read_labels(mask, mask_file(mask.parent.parent, mask.parent.name)) for mask in self.masks]


def segment_exams(
    path: str | Path,
    output: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    min_obliquity: float | None = None,
    per_series: bool = False,
    anonymous: bool = False,
) -> list[SegmentedExam]:
    """Run the segmentation bundle on every phase, and write every exam's volumes and page.

    If a phase of one of several exams cannot be read, that exam is left out and reported.

    Args:
        path: folder of DICOM files, or a volume.
        output: folder for pages, tables and masks; None keeps no files.
        weights: see `bundle_and_weights`; None uses the weights that ship.
        min_obliquity: see `stacks_in`.
        per_series: also write a DICOM segmentation of each image series, with all phases.
        anonymous: leave the patient's name, dates and all other text out of the DICOM files; the UIDs stay.

    Raises:
        InputError: there are no weights, no exam can be read or has a possible short axis, or the bundle refuses its input.
    """
    work = segmenting(path, weights=weights, min_obliquity=min_obliquity, per_series=per_series, anonymous=anonymous)
    with output_folder(output) as results:
        done = work.run_all(results)
        if output is None:
            for exam in done:
                exam.labels  # noqa: B018  (read while the files exist)
    return done


def segmenting(
    path: str | Path,
    *,
    weights: str | Path | None = None,
    min_obliquity: float | None = None,
    per_series: bool = False,
    anonymous: bool = False,
) -> ExamWork:
    """Find the exams to segment; for arguments and errors see `segment_exams`."""
    keep_quiet()
    bundle, used = bundle_and_weights(SEGMENTS, weights)
    skipped: dict[Finding, int] = {}
    path = Path(path).expanduser().resolve()
    stacks, left_out = stacks_in(path, "all", min_obliquity, straight=True, skipped=skipped)
    provenance = Provenance.of(bundle, used)
    options = {"per_series": per_series, "anonymous": anonymous}

    def run(exams: Sequence[Mapping[str, Any]], output: Path) -> list[SegmentedExam]:
        given = {"weights": used, "min_obliquity": min_obliquity, "output_dir": output / "masks", "phases": "all"}
        with private_datalist({"test": slices_of(exams)}) as input:
            refused = run_inference(bundle, given | without(bundle, "SegmentationWriter") | {"input": input})
        of_exam = defaultdict(list)
        for item in read_exams(exams, refused):
            of_exam[exam_of(item)].append(item)
        first, *others = (_measured(exam, items, output, provenance, **options) for exam, items in of_exam.items())
        return [replace(first, lines=[*in_sentences(refused), *first.lines]), *others]

    settings = {"weights": provenance.sha256, "min_obliquity": min_obliquity, **options}
    return ExamWork(
        "segment", stacks, settings, left_out, run, lambda exam: volume_summary(exam.results), _note(provenance), skipped,
        "Segmented exams", _ARCHIVE,
    )  # fmt: skip


def _note(provenance: Provenance) -> Note:
    """The note on the weights, which stands next to all numbers."""
    return made_by([("masks", provenance)], "the error of these volumes on patients")


def _measured(
    exam: str,
    items: Sequence[Mapping[str, Any]],
    output: Path,
    provenance: Provenance,
    per_series: bool,
    anonymous: bool,
) -> SegmentedExam:
    """Measure the masks of an exam's phases, and write its tables, page and DICOM files."""
    folder, masks = output / exam, output / "masks"
    names = [volume_name(item) for item in items]
    folder.mkdir(parents=True, exist_ok=True)
    kept = clear_dicom(folder)
    stacks = [load_stack(item) for item in items]
    labels, results = measure(exam, items, stacks, masks)
    for name, stack in zip(names, stacks, strict=True) if is_dicom(items[0]) else ():
        write_nifti(masks / name / f"{name}{IMAGE}.nii.gz", stack.image.numpy(), stack.image.affine)
    for number in pictured(results):
        corrected = f", corrected in {results.corrected[number].file.name}" if number in results.corrected else ""
        image = stacks[number].image.numpy()
        draw_segmentation(masks / names[number], image, labels[number], STRUCTURES, names[number] + corrected)
    note = _note(provenance)
    # each number names the corrected masks behind it
    general = [found for found in results.notes if found.code != "corrected-mask"]
    remarks = [*which_phases(results), *map(as_sentence, sentences(general)), str(note)]
    make = partial(write_segmentations, folder, items, labels, results, remarks, provenance, per_series)
    written_dicom = write_dicom(exam, items[0], anonymous, make)
    results = replace(results, findings=[*results.findings, *kept, *written_dicom])
    notes = [*which_phases(results), *map(as_sentence, sentences(results.notes)), str(note)]
    page = write_page(folder, _page(results, stacks, labels, notes))
    write_csv(folder / "volumes.csv", volume_columns(results, items) | {"note": [note.made_by] * len(items)})
    write_json(
        folder / "volumes.json", volume_content(results) | {"made_by": str(note), "weights": provenance.content()}
    )
    files = [
        results.corrected[number].nifti if number in results.corrected else mask_file(masks, name)
        for number, name in enumerate(names)
    ]
    written = [file for place in (folder, *(mask.parent for mask in files)) for file in written_in(place)]
    return SegmentedExam(exam, page, _lines(results), items[results.volumes.end_diastole], written, results, files)


def pictured(results: HeartResults) -> list[int]:
    """The phases that people look at: end-diastole, end-systole, those with a corrected mask, and those with a flag of their
    own."""
    phases = range(len(results.files))
    flags = [{flag for number in results.at(phase) for flag in number.flags} for phase in phases]
    own = {phase for phase in phases if flags[phase] - set.intersection(*flags)}
    return sorted({results.volumes.end_diastole, results.volumes.end_systole, *results.corrected, *own})


def measure(
    exam: str, items: Sequence[Mapping[str, Any]], stacks: Sequence[LoadedStack], masks: Path
) -> tuple[list[np.ndarray], HeartResults]:
    """Measure the masks of an exam's phases, and judge the volumes.

    Args:
        exam: the exam's hash.
        items: the stack of each phase.
        stacks: the same, loaded.
        masks: folder of the masks.

    Returns:
        The label map of each phase, the network's or a corrected one, and the volumes.
    """
    names = [volume_name(item) for item in items]
    networks, affines = zip(*(read_mask(masks, name) for name in names), strict=True)
    for name, own, affine in zip(names, networks, affines, strict=True):
        write_slicer_segmentation(masks / name / f"{name}.seg.nrrd", own, affine, STRUCTURES)
    corrected, refused = corrected_masks(masks, names)
    labels = [corrected[number].labels if number in corrected else own for number, own in enumerate(networks)]
    places = stacks[0].affines
    thickness = own_thickness(places)
    found = network = heart_volumes(networks, affines, STRUCTURES, thickness=thickness)
    if corrected:
        moments = {network.end_diastole, network.end_systole, *corrected}
        found = replace(heart_volumes(labels, affines, STRUCTURES, moments, thickness), corrected=[*corrected])
    shorts = [name.removeprefix(f"{exam}_") if name != exam else "segmentation" for name in names]
    found = replace(found, times=_times(items), names=shorts)
    size, of_size = body_size(items[0])
    spacing = np.linalg.norm(affines[found.end_diastole][:3, :3], axis=0).tolist()
    no_heart = heart_problem(np.isin(labels[found.end_diastole], list(STRUCTURES)), spacing)
    findings = [
        *_of_corrected(found, corrected),
        *refused,
        *([no_heart] if no_heart else []),
        *spacing_findings(places),
        *missing_slices(places, stacks[0].thickness),
        *(each for each in findings_of(items[0]) if not each.subject or each.level != FLAG),  # not those of other views
        *image_faults([stack.image.numpy() for stack in stacks], shorts, found),
        *implausible_volumes(found),
        *of_size,
    ]
    if found.rv_smallest != found.end_systole and len(items) > 1:
        smallest = found.rv_smallest
        findings.append(finding("rv-smallest", phase=shorts[smallest], ml=found.volumes["RV"][smallest]))
    surface = None if size is None else body_surface(*size)
    return labels, HeartResults(exam, names, found, corrected, surface, findings)


def _of_corrected(found: HeartVolumes, corrected: Mapping[int, CorrectedMask]) -> list[Finding]:
    if not corrected:
        return []
    findings = [finding("corrected-mask", kind="used", files=[mask.file.name for mask in corrected.values()])]
    moments = ["end-diastole", "end-systole"]
    if (found.end_diastole in corrected) != (found.end_systole in corrected):
        own, other = moments if found.end_diastole in corrected else moments[::-1]
        findings.append(finding("corrected-mask", kind="mixed", own=own, other=other))
    return findings


def _page(
    results: HeartResults, stacks: Sequence[LoadedStack], labels: Sequence[np.ndarray], notes: Sequence[str]
) -> ShownExam:
    """The page at end-diastole, with a cine of all phases."""
    found, several = results.volumes, results.several
    stack = stacks[found.end_diastole]
    count = len(stacks)

    def name(phase: int) -> str:
        """``phase00, end-diastole, 1 of 25``: the phase as in the table and the files' names."""
        moments = found.moments(phase)[:several]
        return ", ".join([*dict.fromkeys([found.names[phase], *moments]), f"{phase + 1} of {count}"])

    return ShownExam(
        name=results.exam,
        image=stack.image.numpy(),
        affines=stack.affines,
        acquired={view: plane for view, plane in stack.acquired.items() if view in ("2ch", "4ch")},
        images={view: image for view, image in stack.views.items() if view in ("2ch", "4ch")},
        labels=labels[found.end_diastole],
        structures=STRUCTURES,
        tables=[(count_of(count, "phase"), *volume_table(results))],
        folded=[(_INDEXED.format(results.surface), *volume_table(results, True))] if results.surface else [],
        flags=shown_flags(results),
        curves={structure: found.volumes[structure] for structure in VENTRICLES},
        corrected=[*results.corrected],
        moments=found.names,
        notes=notes,
        phases=[
            (name(phase), each.image.numpy(), mask)
            for phase, (each, mask) in enumerate(zip(stacks, labels, strict=True))
        ],
    )


def _lines(results: HeartResults) -> list[str]:
    """What the terminal says about an exam."""
    lines = [f"Exam {results.exam}, {count_of(len(results.files), 'phase')}", *in_lines(volume_table(results))]
    if results.surface:
        lines += [f"  {_INDEXED.format(results.surface)}:"]
        lines += [f"  {line}" for line in in_lines(volume_table(results, True))]
    lines += [f"  {remark}" for remark in sentences(results.notes)]
    lines += [f"  check: {flag}" for flag in shown_flags(results)]
    return lines + [f"  {FLAGGED}: {DO_NOT_USE}"] * any(FLAGGED in line for line in lines)


def _times(items: Sequence[Mapping[str, Any]]) -> list[float] | None:
    """The place of each phase in the cycle, from its name, such as ``phase38``; None if the phases have other names."""
    shares = [re.fullmatch(r"phase(\d\d)", str(item.get("phase", ""))) for item in items]
    return [int(share[1]) / 100 for share in shares if share] if all(shares) else None
