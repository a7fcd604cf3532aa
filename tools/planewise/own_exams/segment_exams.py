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
from types import MappingProxyType
from typing import Any

import numpy as np

from planewise.data.hearts import heart_problem
from planewise.engines.quiet import keep_quiet
from planewise.engines.run_inference import run_inference
from planewise.evaluation.segmentation_writer import draw_segmentation
from planewise.exams.source_images import body_size, is_dicom
from planewise.exams.words import as_sentence, count_of, some_of
from planewise.metrics.heart_volumes import HeartVolumes, body_surface, heart_volumes
from planewise.metrics.implausible_volumes import (
    BODY_SURFACE,
    OF_TWO_PHASES,
    Flag,
    Number,
    few_phases,
    flags_with_numbers,
    image_faults,
    implausible_volumes,
    in_sentences,
    is_marked,
    numbers_by_flag,
)
from planewise.nifti_files import write_nifti
from planewise.own_exams.corrected_masks import CorrectedMask, corrected_masks, marks_of, read_labels
from planewise.own_exams.dicom_results import DicomOut, clear_dicom, write_segmentations
from planewise.own_exams.heart_bundles import (
    SEGMENTS,
    STRUCTURES,
    ExamWork,
    MadePage,
    Summary,
    asked_for,
    load_stack,
    mask_file,
    of_the_run,
    output_folder,
    read_exams,
    read_mask,
    stacks_in,
    text,
    write_page,
    written_in,
)
from planewise.own_exams.load_bundle import bundles_folder, needed_weights
from planewise.own_exams.provenance import Note, Provenance, made_by
from planewise.predicted_masks import IMAGE
from planewise.preprocessing.exam_name import volume_name
from planewise.preprocessing.load_stack import far_apart, missing_slices, own_thickness, unevenly_spaced
from planewise.reports.exam_page import ShownExam
from planewise.reports.page_style import CORRECTED, DO_NOT_USE, FLAGGED
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.slicer_segmentation import write_slicer_segmentation
from planewise.reports.tables import write_csv, write_json

VENTRICLES = ("LV", "RV")
ALL = tuple(STRUCTURES.values())
#: The two phases of the table of phases.
_MOMENTS = ("end-diastole", "end-systole")
_RV_SMALLEST = "RV smallest"
_NO_HEART = "this may not be a heart: its mask {}"
#: Title of the indexed values, which depend on the height and weight typed at the scanner.
_INDEXED = "per m2 of body surface ({:.2f} m2, Mosteller, from the height and weight typed at the scanner)"


@dataclass(frozen=True)
class SegmentedExam(MadePage):
    """A segmented heart.

    Attributes:
        phases: the name of each phase's files, in temporal order.
        volumes: the volumes of every phase, and the values derived from them.
        flags: implausible numbers.
        masks: file of each phase's label map, the network's or a corrected one; deleted if the call had no output folder.
        problem: why the mask at end-diastole cannot be a heart (`heart_problem`); empty if it can.
        body_surface: m2, by Mosteller's formula from the height and the weight of the DICOM header; None if unknown.
        corrected: a mark for each mask that a person corrected (`marks_of`); the volumes come from it.
        by_hand: sentences on masks that a person corrected.
    """

    phases: Sequence[str]
    volumes: HeartVolumes
    flags: Sequence[Flag]
    masks: Sequence[Path]
    problem: str
    body_surface: float | None
    corrected: Sequence[Flag] = ()
    by_hand: Sequence[str] = ()

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
    skipped: dict[str, int] = {}
    stacks, left_out = stacks_in(path, "all", keep_names, min_obliquity, straight=True, skipped=skipped)
    out = DicomOut(dicom, anonymous, all_phases, per_series)
    provenance = Provenance.of(folder / SEGMENTS, used)

    def run(exams: Sequence[Mapping[str, Any]], output: Path) -> list[SegmentedExam]:
        with asked_for(exams, path, len(exams) == len(stacks)) as input:
            given = {"input": input, "output_dir": output / "masks", "device": device, "weights": used, "phases": "all"}
            given["min_obliquity"] = min_obliquity
            said = run_inference(folder / SEGMENTS, given)
        return _measured(exams, said, output, provenance, out)

    settings = {"weights": provenance.sha256}
    return ExamWork("segment", stacks, settings | asdict(out), left_out, run, _summary, _note(provenance), skipped)


def _note(provenance: Provenance) -> Note:
    """The note on the weights, which stands next to all numbers."""
    return made_by([("masks", provenance)], "the error of these volumes on patients")


def _summary(exam: SegmentedExam) -> Summary:
    """Volumes and function; the severity is the number of implausible values."""
    found = exam.volumes
    several = len(exam.phases) > 1
    values: dict[str, Any] = {"phases": len(exam.phases)}
    numbers: dict[str, Number] = {}
    for name in VENTRICLES:
        if not several:  # its moment is unknown
            values[f"{name}_ml"] = found.volumes[name][0]
        values[f"{name}_end_diastole_ml"] = found.volumes[name][found.end_diastole] if several else None
        values[f"{name}_end_systole_ml"] = found.volumes[name][found.end_systole] if several else None
        values[f"{name}_stroke_volume_ml"] = found.stroke_volume(name) if several else None
        fraction = found.ejection_fraction(name)
        values[f"{name}_ejection_fraction_percent"] = fraction if several and np.isfinite(fraction) else None
        numbers[f"{name}_end_diastole_ml" if several else f"{name}_ml"] = Number(name, "volume", found.end_diastole)
        if several:
            numbers[f"{name}_end_systole_ml"] = Number(name, "volume", found.end_systole)
            numbers[f"{name}_stroke_volume_ml"] = Number(name, "stroke volume")
            numbers[f"{name}_ejection_fraction_percent"] = Number(name, "ejection fraction")
    values["myocardial_mass_g"] = found.mass
    numbers["myocardial_mass_g"] = Number("myocardium", "mass", found.end_diastole)
    flagged, corrected = (
        [key for key, number in numbers.items() if is_marked(number, flags, found)]
        for flags in (exam.flags, exam.corrected)
    )

    def shown(key: str, unit: str) -> str:
        marks = f" {CORRECTED}" * (key in corrected) + f" {FLAGGED}" * (key in flagged)
        return text(values[key], 0, unit) + marks * (values[key] is not None)

    words = [f"LV {shown('LV_end_diastole_ml', ' ml')} at end-diastole" if several else f"LV {shown('LV_ml', ' ml')}"]
    for name in VENTRICLES if several else ():
        words.append(f"ejection fraction {name} {shown(f'{name}_ejection_fraction_percent', ' %')}")
    every = [number for phase in range(len(exam.phases)) for number in _numbers(found, phase)]
    names = _short_names(exam.name, exam.phases)
    flags = flags_with_numbers(every, exam.flags, found, names) + _of_body_surface(exam.flags)
    # an exam whose mask has a problem ranks first: if the mask is empty, few values can be flagged
    remarks = [said.removesuffix(".") for said in _smaller_rv(found, names)]
    remarks += exam.item.get("notes", ())
    severity = float(len(exam.flags))
    return Summary(
        values,
        ", ".join(words),
        flags,
        severity,
        bool(exam.problem),
        flagged,
        remarks,
        corrected,
        exam.by_hand,
        exam.no_dicom,
    )


def _of_body_surface(flags: Sequence[Flag]) -> list[str]:
    """The flags of the body surface, which is the same in all phases."""
    return [flag.text for flag in flags if flag.quantity == BODY_SURFACE]


def _numbers(found: HeartVolumes, phase: int) -> list[Number]:
    """The numbers in a phase's row of the table of phases; values from two phases are in the row of end-systole."""
    numbers = [Number(name, "volume", phase) for name in found.volumes]
    if len(found.volumes["LV"]) > 1 and phase == found.end_systole:
        numbers += [Number(name, quantity, None) for quantity in OF_TWO_PHASES for name in VENTRICLES]
    return [*numbers, Number("myocardium", "mass", phase)]


def _measured(
    stacks: Sequence[Mapping[str, Any]], said: Sequence[str], output: Path, provenance: Provenance, dicom: DicomOut
) -> list[SegmentedExam]:
    """Measure the masks that the bundle wrote; ``said`` contains its reports."""
    exams = defaultdict(list)
    for item in read_exams(stacks, said):
        exams[item.get("exam") or volume_name(item)].append(item)
    first, *others = (_one(exam, items, said, output, provenance, dicom) for exam, items in exams.items())
    return [replace(first, lines=[*of_the_run(said), *first.lines]), *others]


def _one(
    exam: str,
    items: Sequence[Mapping[str, Any]],
    said: Sequence[str],
    output: Path,
    provenance: Provenance,
    dicom: DicomOut,
) -> SegmentedExam:
    """Measure the masks of an exam's phases, and write its tables, page and DICOM files."""
    folder, masks = output / exam, output / "masks"
    names, note = [volume_name(item) for item in items], _note(provenance)
    shorts = _short_names(exam, names)
    folder.mkdir(parents=True, exist_ok=True)
    refused = clear_dicom(folder)
    networks, affines = zip(*(read_mask(masks, name) for name in names), strict=True)
    for name, labels_of, affine in zip(names, networks, affines, strict=True):
        write_slicer_segmentation(masks / name / f"{name}.seg.nrrd", labels_of, affine, STRUCTURES)
    corrected, by_hand = corrected_masks(masks, names)
    labels = [corrected[number].labels if number in corrected else own for number, own in enumerate(networks)]
    marks = marks_of(corrected)
    stacks = [load_stack(item) for item in items]
    thickness = own_thickness(stacks[0].affines)
    found = network = heart_volumes(networks, affines, STRUCTURES, thickness=thickness)
    if corrected:
        moments = {network.end_diastole, network.end_systole, *corrected}
        found = heart_volumes(labels, affines, STRUCTURES, moments, thickness)
        found = replace(found, corrected=[*corrected])
        said_of = f"{CORRECTED} from a mask that a person corrected"
        by_hand.insert(0, f"{said_of}: {some_of([mask.file.name for mask in corrected.values()])}")
        if (found.end_diastole in corrected) != (found.end_systole in corrected):
            order = _MOMENTS if found.end_diastole in corrected else _MOMENTS[::-1]
            mixed = "stroke volumes and ejection fractions mix the corrected mask of {} with the network's of {}"
            by_hand.insert(1, mixed.format(*order))
    found = replace(found, times=_times(items))
    stack, images = stacks[found.end_diastole], [loaded.image for loaded in stacks]
    for number, mask in corrected.items():
        title = f"{names[number]}, corrected in {mask.file.name}"
        draw_segmentation(masks / names[number], images[number].numpy(), labels[number], STRUCTURES, title)
    places = stacks[0].affines
    coarse = [*filter(None, [far_apart(places), unevenly_spaced(places)])]
    of_stack = [*filter(None, [missing_slices(places, stacks[0].thickness)]), *items[0].get("header", ())]
    heart = np.isin(labels[found.end_diastole], list(STRUCTURES))
    problem = heart_problem(heart, np.linalg.norm(affines[found.end_diastole][:3, :3], axis=0).tolist())
    size, about_size, no_size = body_size(items[0])
    flags = [
        *([Flag(ALL, "volume", found.end_diastole, _NO_HEART.format(problem), cause="mask")] if problem else []),
        *(Flag(ALL, "volume", None, remark, usable=remark in coarse) for remark in (*coarse, *of_stack)),
        *image_faults([image.numpy() for image in images], found, shorts),
        *few_phases(found),
        *implausible_volumes(found),
        *([Flag(ALL, BODY_SURFACE, None, about_size)] if about_size else []),
    ]
    reasons = _shown_reasons(found, flags, [*coarse, *of_stack])
    header, rows = _rows(found, flags, corrected=marks)
    surface = None if size is None else body_surface(*size)
    indexed = _indexed(found, flags, surface, marks)
    count = "1 phase" if len(names) == 1 else f"{len(names)} phases"
    notes = [*items[0].get("notes", ()), *([no_size] if no_size else [])]
    chosen = [
        *_which_phases(found, shorts),
        *map(as_sentence, notes),
    ]
    for image, name in zip(images, names, strict=True) if is_dicom(items[0]) else ():
        write_nifti(masks / name / f"{name}{IMAGE}.nii.gz", image.numpy(), image.affine)
    make = partial(
        write_segmentations,
        folder,
        items,
        labels,
        shorts,
        found,
        surface,
        flags,
        marks,
        chosen,
        provenance,
        str(note),
        dicom,
    )
    no_dicom = dicom.write(exam, items[0], make)
    shown = ShownExam(
        name=exam,
        image=stack.image.numpy(),
        affines=stack.affines,
        acquired={view: plane for view, plane in stack.acquired.items() if view in ("2ch", "4ch")},
        images={view: image for view, image in stack.views.items() if view in ("2ch", "4ch")},
        labels=labels[found.end_diastole],
        structures=STRUCTURES,
        tables=[(count, header, rows)],
        folded=[(_INDEXED.format(surface), *indexed)] if indexed else [],
        flags=reasons,
        curves={name: found.volumes[name] for name in VENTRICLES},
        corrected=[*corrected],
        moments=shorts,
        notes=[
            *(f"{sentence}." for sentence in by_hand),
            *map(as_sentence, no_dicom),
            *chosen,
            str(note),
        ],
        phases=[
            (_moment(found, number, shorts), image.numpy(), mask)
            for number, (image, mask) in enumerate(zip(images, labels, strict=True))
        ],
    )
    page = write_page(folder, shown)
    of_network = {
        name: [value if number in corrected else None for number, value in enumerate(network.volumes[name])]
        for name in ALL
    }
    columns = _columns(found, flags, items, surface, corrected)
    columns |= {f"{name}_network_ml": ml for name, ml in of_network.items()} if corrected else {}
    write_csv(folder / "volumes.csv", columns | {"note": [note.made_by] * len(items)})
    content = _content(found, names, flags, surface, corrected)
    of_people = {"network_volumes_ml": of_network} if corrected else {}
    of_people |= {"no_dicom": no_dicom[0]} if no_dicom else {}
    about = {"remarks": list(notes), "made_by": str(note), "weights": provenance.content()}
    write_json(folder / "volumes.json", content | about | of_people)
    lines = _in_lines(header, rows)
    if surface and indexed:
        lines += [f"  {_INDEXED.format(surface)}:", *(f"  {line}" for line in _in_lines(*indexed))]
    lines += [f"  {sentence}" for sentence in (*by_hand, *_smaller_rv(found, shorts), *notes)]
    lines += [f"  {cause}: {'; '.join(sentences)}" for cause, sentences in reasons.items()]
    lines += [f"  {FLAGGED}: {DO_NOT_USE}"] * any(FLAGGED in line for line in lines)
    remarks = [line for line in said if line.startswith(f"exam {exam}:")]
    files = [
        corrected[number].nifti if number in corrected else mask_file(masks, name) for number, name in enumerate(names)
    ]
    return SegmentedExam(
        exam,
        page,
        [f"Exam {exam}, {count}", *lines, *remarks, *refused, *(f"  {sentence}" for sentence in no_dicom)],
        {**items[found.end_diastole], "notes": notes},
        [file for place in (folder, *(mask.parent for mask in files)) for file in written_in(place)],
        names,
        found,
        flags=flags,
        masks=files,
        problem=problem,
        body_surface=surface,
        corrected=marks,
        by_hand=by_hand,
        no_dicom=no_dicom,
    )


def _short_names(exam: str, names: Sequence[str]) -> list[str]:
    """The names of the phases' files without the exam's name."""
    return [name.removeprefix(f"{exam}_") if name != exam else "segmentation" for name in names]


def _moment(found: HeartVolumes, number: int, names: Sequence[str]) -> str:
    """``phase00, end-diastole, 1 of 25``: the phase as in the table and the files' names."""
    count = len(names)
    named = {found.end_diastole: "end-diastole", found.end_systole: "end-systole"} if count > 1 else {}
    return ", ".join(filter(None, [names[number], named.get(number, ""), f"{number + 1} of {count}"]))


def _which_phases(found: HeartVolumes, names: Sequence[str]) -> list[str]:
    """Sentences about the phases that the table shows, with each phase's name; none for a single phase."""
    if len(names) == 1:
        return []
    among = ", among those with a corrected mask and the network's own end-diastole and end-systole"
    among = among if 0 < len(found.corrected) < len(names) else ""
    sentences = [
        f"End-diastole is {names[found.end_diastole]} and end-systole is {names[found.end_systole]}: the phases in which the "
        f"LV is largest and smallest{among}. Both ventricles are measured in these phases, so that their stroke volumes "
        "belong to the same part of the heartbeat. The mass is that at end-diastole."
    ]
    return [" ".join([*sentences, *_smaller_rv(found, names)])]


def _smaller_rv(found: HeartVolumes, names: Sequence[str]) -> list[str]:
    """A sentence if the RV is smallest in another phase than the LV, so that its ejection fraction could be larger."""
    smallest = found.rv_smallest
    if smallest == found.end_systole or len(names) == 1:
        return []
    return [f"The RV is smallest in {names[smallest]}, with {text(found.volumes['RV'][smallest], 0, ' ml')}."]


def _in_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines for a terminal; cells with a dash are left out."""
    return [
        f"  {row[0]}: "
        + ", ".join(f"{name} {cell}" for name, cell in zip(header[1:], row[1:], strict=True) if cell != "-")
        for row in rows
    ]


def _indexed(
    found: HeartVolumes, flags: Sequence[Flag], surface: float | None, corrected: Sequence[Flag] = ()
) -> tuple[list[str], list[list[str]]] | None:
    """The table of values per body surface; None if the body surface is unknown."""
    if surface is None:
        return None
    header, rows = _rows(found, flags, surface, corrected)
    kept = [column for column, name in enumerate(header) if name != "ejection fraction"]
    rows = [[row[column] for column in kept] for row in rows]
    rows[-1][1] = "-"
    return [header[column] for column in kept], rows


def _columns(
    found: HeartVolumes,
    flags: Sequence[Flag],
    items: Sequence[Mapping[str, Any]],
    surface: float | None,
    corrected: Mapping[int, CorrectedMask] = MappingProxyType({}),
) -> dict[str, Sequence[object]]:
    """Columns of the table of phases; values from two phases are in the row of end-systole."""
    count = len(items)
    moments = [""] * count
    if count > 1:
        # last of all, the phases that the other columns refer to
        moments[found.rv_smallest] = _RV_SMALLEST
        moments[found.end_diastole], moments[found.end_systole] = _MOMENTS

    def at_end_systole(value: float) -> list[object]:
        return [value if moment == _MOMENTS[1] and np.isfinite(value) else "" for moment in moments]

    return {
        "phase": [item.get("phase", "") for item in items],
        "moment": moments,
        **{f"{name}_ml": list(ml) for name, ml in found.volumes.items()},
        "myocardium_g": found.masses,
        **{f"{name}_stroke_volume_ml": at_end_systole(found.stroke_volume(name)) for name in VENTRICLES},
        **{f"{name}_ejection_fraction_percent": at_end_systole(found.ejection_fraction(name)) for name in VENTRICLES},
        **(
            {
                "body_surface_m2": [surface] * count,
                **{f"{name}_ml_per_m2": [value / surface for value in found.volumes[name]] for name in VENTRICLES},
                "myocardium_g_per_m2": [value / surface for value in found.masses],
                **{
                    f"{name}_stroke_volume_ml_per_m2": at_end_systole(found.stroke_volume(name) / surface)
                    for name in VENTRICLES
                },
            }
            if surface
            else {}
        ),
        "flagged": ["; ".join(_flagged_columns(found, flags, phase, surface)) for phase in range(count)],
        "flags": [
            "; ".join(flags_with_numbers(_numbers(found, phase), flags, found) + _of_body_surface(flags))
            for phase in range(count)
        ],
        "corrected": ["; ".join(_flagged_columns(found, marks_of(corrected), phase, None)) for phase in range(count)],
        "mask": [
            corrected[phase].file.name if phase in corrected else volume_name(item) for phase, item in enumerate(items)
        ],
        "name": [volume_name(item) for item in items],
    }


def _flagged_columns(found: HeartVolumes, flags: Sequence[Flag], phase: int, surface: float | None) -> list[str]:
    """The columns of a phase's row whose numbers have a flag. Values per m2 have the flags of their columns and of the body
    surface."""
    units = {
        "volume": "ml",
        "mass": "g",
        "stroke volume": "stroke_volume_ml",
        "ejection fraction": "ejection_fraction_percent",
    }
    return [
        f"{number.structure}_{units[number.quantity]}"
        for number in _numbers(found, phase)
        if is_marked(number, flags, found)
    ] + (["body_surface_m2"] if surface and _of_body_surface(flags) else [])


def _content(
    found: HeartVolumes,
    names: Sequence[str],
    flags: Sequence[Flag],
    surface: float | None,
    corrected: Mapping[int, CorrectedMask] = MappingProxyType({}),
) -> dict[str, object]:
    several = len(names) > 1
    every = [number for phase in range(len(names)) for number in _numbers(found, phase)]
    return {
        "note": RESEARCH_ONLY,
        "phases": list(names),
        "volumes_ml": {name: list(ml) for name, ml in found.volumes.items()},
        "end_diastole": names[found.end_diastole] if several else None,
        "end_systole": names[found.end_systole] if several else None,
        "moments_chosen_by": "largest and smallest LV" if several else None,
        "corrected": [
            {
                "phase": names[mark.phase],
                "mask": corrected[mark.phase].file.name,
                "numbers": numbers_by_flag(every, [mark], found)[mark.text],
            }
            for mark in marks_of(corrected)
        ],
        "rv_smallest": names[found.rv_smallest] if several else None,
        "stroke_volume_ml": {name: found.stroke_volume(name) if several else None for name in VENTRICLES},
        "ejection_fraction_percent": {name: found.ejection_fraction(name) if several else None for name in VENTRICLES},
        "myocardial_mass_g": found.mass,
        "body_surface_m2": surface,
        "body_surface_formula": "Mosteller" if surface else None,
        "flags": [
            {
                **asdict(flag),
                "cause": flag.about,
                "phase": None if flag.phase is None else names[flag.phase],
                # flags of other phases may have the same text
                "numbers": numbers_by_flag(every, [flag], found).get(flag.text, {}),
            }
            for flag in flags
        ],
    }


def _times(items: Sequence[Mapping[str, Any]]) -> list[float] | None:
    """The place of each phase in the cycle, from its name, such as ``phase38``; None if the phases have other names."""
    shares = [re.fullmatch(r"phase(\d\d)", str(item.get("phase", ""))) for item in items]
    return [int(share[1]) / 100 for share in shares if share] if all(shares) else None


def _shown_reasons(
    found: HeartVolumes, flags: Sequence[Flag], of_the_stack: Sequence[str] = ()
) -> dict[str, list[str]]:
    """By cause, the remarks on the stack, the flags of the numbers that the table shows, and the number of other phases with
    flags."""
    shown = {found.end_diastole, found.end_systole, None}
    own = [flag for flag in flags if flag.text not in of_the_stack]
    reasons: dict[str, list[str]] = {"acquisition": [*of_the_stack]}
    for cause in dict.fromkeys(flag.about for flag in own):
        of_cause = [flag for flag in own if flag.about == cause and flag.phase in shown]
        reasons.setdefault(cause, []).extend(in_sentences(of_cause, found))
    if others := len({flag.phase for flag in own} - shown):
        reasons["other phases"] = [f"volumes of {count_of(others, 'phase')} are flagged: see volumes.csv"]
    return {cause: sentences for cause, sentences in reasons.items() if sentences}


def _rows(
    found: HeartVolumes, flags: Sequence[Flag], surface: float | None = None, corrected: Sequence[Flag] = ()
) -> tuple[list[str], list[list[str]]]:
    """The table of volumes, with flagged and corrected numbers marked; a single phase has no end-systole. With a body
    surface (m2), the values are per m2."""
    several = len(found.volumes["LV"]) > 1
    diastole, systole = found.end_diastole, found.end_systole
    share, per = (1.0, "") if surface is None else (surface, "/m2")

    def cell(value: float, unit: str, *number: Any) -> str:
        shown = text(value, 0, unit) if unit == " %" else text(value / share, 0, unit + per)
        marks = ((CORRECTED, corrected), (FLAGGED, flags))
        of = Number(*number, indexed=surface is not None)
        return shown + "".join(f" {mark}" for mark, why in marks if shown != "-" and is_marked(of, why, found))

    rows = []
    for name in VENTRICLES:
        ml = found.volumes[name]
        row = [name, cell(ml[diastole], " ml", name, "volume", diastole)]
        row += (
            [
                cell(ml[systole], " ml", name, "volume", systole),
                cell(found.stroke_volume(name), " ml", name, "stroke volume"),
                cell(found.ejection_fraction(name), " %", name, "ejection fraction"),
            ]
            if several
            else ["-"] * 3
        )
        rows.append([*row, "-"])
    muscle = cell(found.volumes["myocardium"][diastole], " ml", "myocardium", "volume", diastole)
    rows.append(["myocardium", muscle, "-", "-", "-", cell(found.mass, " g", "myocardium", "mass", diastole)])
    first = "end-diastole" if several else "volume"
    return ["structure", first, "end-systole", "stroke volume", "ejection fraction", "mass"], rows
