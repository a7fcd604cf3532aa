"""Segment the exams in a folder and write masks, volumes and pages: run the segmentation bundle, and compute values
from its label maps.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
from planewise.own_exams.dicom_results import DicomOut, clear_dicom, write_segmentations
from planewise.own_exams.exam_page import ShownExam
from planewise.own_exams.heart_bundles import (
    SEGMENTS,
    STRUCTURES,
    ExamWork,
    LoadedStack,
    MadePage,
    Summary,
    asked_for,
    findings_of,
    in_sentences,
    load_stack,
    mask_file,
    output_folder,
    read_exams,
    read_mask,
    stacks_in,
    write_page,
    written_in,
)
from planewise.own_exams.heart_results import VENTRICLES, HeartResults
from planewise.own_exams.implausible_volumes import image_faults, implausible_volumes
from planewise.own_exams.load_bundle import bundles_folder, needed_weights
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
from planewise.preprocessing.exam_name import volume_name
from planewise.preprocessing.load_stack import missing_slices, own_thickness, spacing_findings
from planewise.reports.page_style import DO_NOT_USE, FLAGGED
from planewise.reports.tables import write_csv, write_json
from planewise.words import as_sentence, count_of

#: Title of the indexed values, which depend on the height and weight typed at the scanner.
_INDEXED = "per m2 of body surface ({:.2f} m2, Mosteller, from the height and weight typed at the scanner)"


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
    keep_names: bool = False,
    dicom: bool | None = None,
    all_phases: bool = False,
    per_series: bool = False,
    anonymous: bool = False,
    bundles: str | Path | None = None,
    device: str | None = None,
) -> list[SegmentedExam]:
    """Run the segmentation bundle on every phase, and write every exam's volumes and page.

    If a phase of one of several exams cannot be read, that exam is left out and reported.

    Args:
        path: folder of DICOM files, or a volume.
        output: folder for pages, tables and masks; None keeps no files.
        weights: weights of the bundle; None uses the shipped weights.
        min_obliquity, keep_names: see `stacks_in`.
        dicom: write DICOM segmentations, and the volumes as a structured report; None writes them if the exam is DICOM.
        all_phases: write DICOM segmentations of every phase, not only of end-diastole and end-systole.
        per_series: also write a DICOM segmentation of each image series, with all phases.
        anonymous: leave the patient's name, dates and all other text out of the DICOM files; the UIDs stay.
        bundles: folder of the bundles; None uses planewise's own.
        device: None leaves the choice to the bundle.

    Raises:
        InputError: there are no weights, no exam can be read or has a possible short axis, or the bundle refuses its input.
    """
    work = segmenting(
        path,
        weights=weights,
        min_obliquity=min_obliquity,
        keep_names=keep_names,
        dicom=dicom,
        all_phases=all_phases,
        per_series=per_series,
        anonymous=anonymous,
        bundles=bundles,
        device=device,
    )
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
    keep_names: bool = False,
    dicom: bool | None = None,
    all_phases: bool = False,
    per_series: bool = False,
    anonymous: bool = False,
    bundles: str | Path | None = None,
    device: str | None = None,
) -> ExamWork:
    """Find the exams to segment; for arguments and errors see `segment_exams`."""
    keep_quiet()
    path, folder = Path(path).expanduser().resolve(), bundles_folder(bundles)
    used = needed_weights(folder / SEGMENTS, weights)
    skipped: dict[Finding, int] = {}
    stacks, left_out = stacks_in(path, "all", keep_names, min_obliquity, straight=True, skipped=skipped)
    out = DicomOut(dicom, anonymous, all_phases, per_series)
    provenance = Provenance.of(folder / SEGMENTS, used)

    def run(exams: Sequence[Mapping[str, Any]], output: Path) -> list[SegmentedExam]:
        with asked_for(exams, path, len(exams) == len(stacks)) as input:
            given = {"input": input, "output_dir": output / "masks", "device": device, "weights": used, "phases": "all"}
            given["min_obliquity"] = min_obliquity
            refused = run_inference(folder / SEGMENTS, given)
        return _measured(exams, refused, output, provenance, out)

    settings = {"weights": provenance.sha256}
    return ExamWork("segment", stacks, settings | asdict(out), left_out, run, _summary, _note(provenance), skipped)


def _note(provenance: Provenance) -> Note:
    """The note on the weights, which stands next to all numbers."""
    return made_by([("masks", provenance)], "the error of these volumes on patients")


def _summary(exam: SegmentedExam) -> Summary:
    return volume_summary(exam.results)


def _measured(
    stacks: Sequence[Mapping[str, Any]],
    refused: Mapping[str, Finding],
    output: Path,
    provenance: Provenance,
    dicom: DicomOut,
) -> list[SegmentedExam]:
    """Measure the masks that the bundle wrote."""
    exams = defaultdict(list)
    for item in read_exams(stacks, refused):
        exams[item.get("exam") or volume_name(item)].append(item)
    first, *others = (_one(exam, items, output, provenance, dicom) for exam, items in exams.items())
    return [replace(first, lines=[*in_sentences(refused), *first.lines]), *others]


def _one(
    exam: str, items: Sequence[Mapping[str, Any]], output: Path, provenance: Provenance, dicom: DicomOut
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
    for number, mask in results.corrected.items():
        title = f"{names[number]}, corrected in {mask.file.name}"
        image = stacks[number].image.numpy()
        draw_segmentation(masks / names[number], image, labels[number], STRUCTURES, title)
    note = _note(provenance)
    # each number names the corrected masks behind it
    general = [found for found in results.notes if found.code != "corrected-mask"]
    remarks = [*which_phases(results), *map(as_sentence, sentences(general)), str(note)]
    make = partial(write_segmentations, folder, items, labels, results, remarks, provenance, dicom)
    results = replace(results, findings=[*results.findings, *kept, *dicom.write(exam, items[0], make)])
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
    return labels, HeartResults(exam, names, found, network, corrected, surface, findings)


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
