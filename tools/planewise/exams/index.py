"""Index a folder of exams into a datalist: everything that `planewise index` does, except printing."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from planewise.errors import InputError
from planewise.exams import labels, mrnet
from planewise.exams.anatomies import choose_anatomy, prepare, seen_from
from planewise.exams.anatomy import Anatomy
from planewise.exams.any_organ import one_stack_each, suits
from planewise.exams.broken_files import assign_broken, broken_remark
from planewise.exams.cardiac_views import KNEE
from planewise.exams.cases import check_channels, read_cases
from planewise.exams.copies import join_copies
from planewise.exams.datalist import own_places, plane_of, slice_items, stack_summary, write_datalist
from planewise.exams.division import (
    DEFAULT_SPLIT,
    DIVISIONS,
    TESTING,
    Division,
    divide,
    divided_by_folders,
    groups_of,
    leave_out_testing,
    read_sections,
)
from planewise.exams.exam import ISSUER, Exam
from planewise.exams.grouping import group_exams
from planewise.exams.identity import hashed, load_salt
from planewise.exams.mask_checks import mask_doubts, read_mask, unknown_values, why_unusable
from planewise.exams.overrules import apply_overrules, read_overrules, stack_names
from planewise.exams.photograph_files import ENDINGS
from planewise.exams.photographs import read_grade_table, read_photographs, unused_table
from planewise.exams.reserved import PREDICTED, is_labelled
from planewise.exams.scan import Scan, scan_folder
from planewise.exams.split import SECTIONS, check_fractions
from planewise.exams.stack import SIDEWAYS
from planewise.exams.volume import FoundVolumes, Volume, stem
from planewise.exams.volume_stacks import exams_of_volumes
from planewise.exams.volumes import mask_as_image, read_volumes
from planewise.exams.words import composed, count_of, loose, some_of
from planewise.geometry.stack_direction import degrees_off_axis, stack_obliquity
from planewise.geometry.tolerances import HEART_VOLUMES, NO_ORIENTATION, OFF_AXIS, SHORT_AXIS_OBLIQUITY
from planewise.nifti_files import open_nifti
from planewise.predicted_masks import CORRECTED, MASK

VERSION = 1
#: Why a NIfTI file is left out of a heart's datalist.
OTHER_ORGAN = (
    "NIfTI file that cannot be a heart's short axis, judging by the direction of its slices and by its mask: if it is one, "
    "its header has lost the orientation; set the codes of sform and qform to 0 (as in ACDC)"
)
#: Words for a finding, or for its absence, in tables.
_YES_NO = {"yes", "no", "true", "false", "y", "n", "positive", "negative", "ja", "nein"}


@dataclass
class IndexResult:
    """The result of `index_folder`."""

    datalist: dict
    """In the form of tools/docs/datalist.md, with absolute paths; `write_datalist` makes them relative."""
    skipped: dict[str, tuple[int, str]]
    """Maps each reason to the number of files left out for it, and the path of one of them."""
    warnings: list[str] = field(default_factory=list)
    """Warnings that a person should read before training, in words."""
    empty: str = ""
    """The warning that names empty sections; ``warnings`` contains it, too. It is empty if no section is empty."""
    unmatched: list[tuple[str, str]] = field(default_factory=list)
    """Labels and names that match no exam or contradict each other, each with the reason."""
    unused: str = ""
    """Why no photograph gets a value from the table in ``classes``, in words; empty if one does."""
    masks: set[str] = field(default_factory=set)
    """Paths of the masks in ``labels_dir``."""
    by_grid: dict[str, str] = field(default_factory=dict)
    """Maps the file name of each mask that was matched by its grid alone to its exam."""
    division: str = ""
    """The rule for the sections, in words."""
    by_hash: bool = False
    """Whether a hash alone assigned the patients to the sections."""
    folders: dict[str, Path] = field(default_factory=dict)
    """Maps the hash of each DICOM exam to its folder, or to one of its images (`own_places`); private, like the datalist."""
    files: int = 0
    seconds: float = 0.0
    """Time spent on reading headers, s."""

    @property
    def items(self) -> int:
        return sum(len(self.datalist[section]) for section in SECTIONS)

    def write(self, path: str | Path) -> Path:
        """Write the datalist, and the table of folders next to it; returns its path.

        Raises:
            InputError: a file cannot be written there.
        """
        return write_datalist(self.datalist, Path(path), self.folders)


def index_folder(
    folder: str | Path,
    *,
    anatomy: str = "cardiac",
    view: str | None = None,
    contrast: str | None = None,
    channels: str | Sequence[str] | None = None,
    seed: int = 0,
    split: Sequence[float] | None = None,
    stratify: str | None = None,
    division: str = "auto",
    sections: str | Path | None = None,
    all_views: bool = False,
    views: str | Path | None = None,
    labels_dir: str | Path | None = None,
    checked: bool = False,
    classes: str | Path | None = None,
    patients: str | Path | None = None,
    label_map: str | Path | Mapping[int, int] | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> IndexResult:
    """Index a folder of DICOM exams, NIfTI volumes, MRNet's volumes or photographs.

    Args:
        folder: any tree of files.
        anatomy: views to look for: a name in `anatomies.ANATOMIES`, ``"cardiac"`` or ``"knee"``; ``"any"`` takes every
            stack, of any organ, as an exam of its own, ``"volume"`` takes whole volumes (`planewise.exams.cases`), and
            ``"photograph"`` takes photographs (`planewise.exams.photographs`).
        view: part of a heart to learn from: ``"sax"``, the default, or ``"4ch"``.
        contrast: contrast of a knee's sagittal stack: ``"t2fs"``, the default, or ``"any"``.
        channels: file-name endings of one case's channels, ``"t1,t1ce,t2,flair"`` or a list, for whole volumes; None for
            BraTS' or nnU-Net's channels if a case has them, otherwise one file per case.
        seed: seed of the split.
        split: shares of training, validation and test; if given, a hash divides the patients. The default is 0.8 0.1
            0.1, and 0.64 0.16 0.2 for exams with disease groups (ACDC) or labels (MRNet), stratified by group or
            labels.
        stratify: the class, such as a column of ``classes``, by which the hash stratifies the sections; None for the
            data set's own groups.
        division: ``"auto"`` for the folders of DSBCC, ACDC and nnU-Net if they define sections (`exams.division`),
            otherwise a hash of the patient; ``"hash"`` always uses the hash, and ``"folders"`` always the folders.
        sections: CSV or YAML that assigns exams or folders to sections; exams that it does not name are assigned by the
            hash.
        all_views: leave out exams whose stack lacks the plane of a target view, so that all pretexts see the same
            cohort.
        views: YAML that overrides the recognition: it maps exams (hash or folder) to {view: file, folder, stack name or
            none}.
        labels_dir: folder of NIfTI masks for the exams.
        checked: whether a person has checked all masks, so that those that a network predicted are labels, too.
        classes: CSV of classes, one row per exam.
        patients: for photographs, a CSV with a column of patients. It only adds aliases, by which a study recognises these
            patients in other folders; the sections do not depend on it.
        label_map: renames mask values: ``{1: 3}``, or a YAML file with such lines. With ``labels_dir``, it does not
            apply to the masks that M&Ms-2 and UK Biobank have next to their images.
        workers: processes that read headers.
        progress: called with (files done, files in all).

    Raises:
        InputError: the folder or an option cannot be used, or there is nothing in it to learn from.
    """
    sought = choose_anatomy(anatomy, contrast)
    learned = seen_from(sought, view)
    if channels is not None and sought.inputs != "volumes":
        raise InputError("--channels is only for whole volumes; add --anatomy volume, or leave --channels out")
    wanted = check_channels(channels) if channels is not None else ()
    fractions = None if split is None else check_fractions(split)
    if division not in DIVISIONS:
        raise InputError(f"division {division!r} is not known; choose one of {', '.join(DIVISIONS)}")
    if division == "folders" and (fractions or sections):
        raise InputError("--division folders cannot be combined with --split or --sections; leave one of them out")
    sections, views, classes, labels_dir = (
        None if path is None else Path(path).expanduser() for path in (sections, views, classes, labels_dir)
    )
    listed = {} if sections is None else read_sections(sections)
    overrules = {} if views is None else read_overrules(views, sought)
    named_tables, class_rows, wrong_rows = [], {}, []
    if classes is not None and sought.inputs == "photographs":  # photographs have their own rules for tables
        named_tables = [read_grade_table(classes)]
    elif classes is not None:
        class_rows, wrong_rows = labels.read_classes(classes)
    mapping = None if label_map is None else labels.read_label_map(label_map)
    masks = [] if labels_dir is None else labels.mask_files(labels_dir)
    salt = load_salt(folder)

    scan = scan_folder(folder, workers, progress, sought.inputs == "photographs", sought.modalities)
    exams = group_exams(scan.frames, scan.folder, sought.places_apart)
    result = IndexResult(datalist={}, skipped={}, files=scan.files, seconds=scan.seconds)
    found = _read(scan, learned, masks, wanted, named_tables, None if patients is None else Path(patients).expanduser())
    volumes, wanted = found.volumes, found.channels
    result.unmatched += found.unmatched
    result.warnings += found.warnings
    result.unused = "".join(unused_table(table, found) for table in named_tables)
    followed = divided_by_folders([*exams, *volumes], scan.folder, "hash" if fractions or listed else division)
    if not followed and not listed and (testing := leave_out_testing(volumes, scan.folder)):
        scan.skipped.setdefault(TESTING, []).extend(str(volume.image) for volume in testing)
        volumes = [volume for volume in volumes if volume not in testing]
    exams, volumes, whole = _place(exams, volumes, learned, scan)
    _refuse_channels_of_series(exams, wanted, channels is not None, scan)
    broken = [] if sought.inputs == "photographs" else assign_broken(scan, exams)
    places = [*exams, *volumes]
    if sought.inputs != "photographs":  # they have their own rule for copies
        result.warnings += join_copies(places)
        _warn_of_similar_identifiers(result, exams)
    for place in places:
        place.name, place.patient = hashed(place.key, salt), hashed(place.patient_key, salt)
    for exam in exams:
        exam.stacks = prepare(exam.stacks, sought)
        exam.found = sought.recognise(exam.stacks)
    apply_overrules(overrules, exams, sought, scan.folder)
    if learned.seen_from is not None:
        for exam in exams:
            exam.found = learned.seen_from(exam.stacks, exam.found)
    entries, items = _entries(exams, whole, learned)
    _add_volumes_own(items, volumes)
    found_in = {
        exam.name: (exam.folder, Path(exam.stacks[0].slices[0].phases[0].path)) for exam in exams if not exam.case
    }
    left_out = {}
    for one in broken:
        name = hashed(one.key, salt)
        left_out[name] = {"patient": name, "stacks": {}, "left_out": [one.why], "section": ""}
        found_in[name] = one.folder, Path(one.paths[0])
    result.folders = own_places(found_in)
    lacking = _leave_out_incomplete(entries, items, learned) if all_views else set()
    items = [item for item in items if item["exam"] not in lacking]
    result.unmatched += wrong_rows
    used, replaced = labels.not_corrected_elsewhere(masks)
    is_unchecked = cache(labels.is_unchecked)  # cached, because it reads the masks
    used = used if checked else _of_people(used, is_unchecked, result)
    not_used, result.by_grid = labels.add_masks(
        used, exams, items, class_rows, scan.folder, sought.inputs == "volumes", mapping
    )
    result.unmatched += [*not_used, *replaced]
    result.unmatched += (
        [] if labels_dir is None else labels.other_files(labels_dir, {frame.path for frame in scan.frames})
    )
    result.masks = {str(path) for path in masks}
    if mapping is not None:
        for item in items:
            # with --labels, the mapping is for the masks in that folder, not for those with their data set's label map
            if "label" in item and (labels_dir is None or "label_map" not in item):
                item["label_map"] = mapping
    if mapping is not None and sought.inputs == "volumes":
        named = {item["label"] for item in items if item.get("label_map") == mapping}
        _leave_out_masks(result, items, {file: why for file in sorted(named) if (why := why_unusable(file, mapping))})
    _leave_out_masks(result, items, labels.ignored_masks(items))
    _mark_predicted(result, items, is_unchecked, checked)
    if sought.inputs not in ("volumes", "photographs"):
        _check_masks(result, items, learned.stack)
    if learned.inputs == "views" and learned.stack == "sax":
        hearts = any(not exam.case and exam.found.stack is not None for exam in exams)
        other = _other_organs(whole, items, hearts)
        scan.skipped |= {OTHER_ORGAN: sorted(other)} if other else {}
        items = [item for item in items if item["image"] not in other]
        volumes, whole = ([each for each in kept if str(each.image) not in other] for kept in (volumes, whole))
        places = [*exams, *volumes]
        there = {place.name for place in places}
        entries = {name: entry for name, entry in entries.items() if name in there}
    _warn_of_two_origins(result, masks, items)
    not_used, warnings = labels.add_classes(class_rows, places, items, scan.folder)
    result.unmatched += not_used
    result.warnings += warnings + (_doubts_of_findings(class_rows) if sought.inputs == "knees" else [])
    _warn_of_no_class(result, class_rows, items)
    masked = Counter(item["exam"] for item in items if "label" in item)
    for volume in whole:
        entries[volume.name]["labels"] = masked[volume.name]
    for place in (*exams, *whole):
        keys = {place.patient_key, *place.aliases}
        others = (keys | {key.partition(ISSUER)[0] for key in keys}) - {place.patient_key}
        if others and place.name in entries:
            entries[place.name]["aliases"] = sorted(hashed(key, salt) for key in others)

    groups = groups_of(places, items, stratify)
    divided = divide(places, scan.folder, fractions, seed, followed, listed, groups)
    if sought.whole and not listed:
        _train_on_unlabelled(divided, places, items, sought.inputs == "photographs")
    sections_of = {place.patient: divided.sections[place.patient_key] for place in places}
    result.division, result.by_hash = divided.rule, divided.by_hash
    result.unmatched += divided.unmatched
    header = {
        "version": VERSION,
        "anatomy": anatomy,
        "stack": learned.stack,
        "views": list(learned.targets),
        "seed": seed,
    } | ({"channels": list(wanted)} if wanted else {})
    datalist: dict = {
        "planewise": header,
        **{section: [] for section in SECTIONS},
        "exams": {
            name: entry | {"section": " and ".join(sections_of[entry["patient"]])} for name, entry in entries.items()
        }
        | left_out,
    }
    for item in sorted(items, key=_order):
        for section in sections_of[item["patient"]]:
            datalist[section].append(item)
    result.datalist = datalist
    result.skipped = {
        reason: (len(paths), paths[0]) for reason, paths in sorted(scan.skipped.items(), key=lambda e: -len(e[1]))
    }
    if not items:
        raise InputError(_nothing_usable(scan, result))
    _warn_of_patients(result, volumes)
    if sought.inputs in ("volumes", "knees"):
        _warn_of_no_orientation(result, whole)
    result.warnings += divided.warnings
    _warn(result, learned, fractions, divided, len(lacking))
    return result


def _order(item: dict) -> tuple:
    """Sorts items by exam, slice and phase; named phases, ED and ES, in the order of their names."""
    phase = item.get("phase", 0) if "slice" in item else 0
    return item["exam"], item.get("slice", 0), isinstance(phase, str), phase


def _read(
    scan: Scan,
    anatomy: Anatomy,
    masks: Sequence[Path],
    channels: Sequence[str],
    tables: Sequence[Path],
    patients: Path | None,
) -> FoundVolumes:
    """The volumes of a folder. Files that are left out are added to ``scan.skipped``."""
    if anatomy.inputs == "photographs":
        found = [read_photographs(scan.photographs, tables or scan.tables, scan.folder, patients)]
    else:
        # os.path.realpath, because Path.resolve raises an error for a link to itself
        own_masks = set(map(os.path.realpath, masks))
        files = [path for path in scan.nifti if os.path.realpath(path) not in own_masks]
        if anatomy.inputs == "volumes":
            cases = read_cases(files, scan.folder, channels)
            for reason, case in [(reason, case) for case in cases.volumes if (reason := mask_as_image(case))]:
                cases.volumes.remove(case)
                cases.skipped.setdefault(reason, []).append(str(case.image))
            found = [cases]
        else:
            found = [read_volumes(files, scan.folder, of_one_slice=anatomy.one_slice)]
    if anatomy.inputs == "knees":
        found.append(mrnet.read_volumes(scan.mrnet, scan.folder))
    elif scan.mrnet:
        found.append(FoundVolumes([], {mrnet.OTHER_ANATOMY: list(map(str, scan.mrnet))}))
    for reason, paths in (entry for each in found for entry in each.skipped.items()):
        scan.skipped.setdefault(reason, []).extend(paths)
    volumes = [volume for each in found for volume in each.volumes]
    unmatched = [error for each in found for error in each.unmatched]
    return FoundVolumes(volumes, {}, unmatched, found[0].channels, [note for each in found for note in each.warnings])


def _place(
    exams: list[Exam], volumes: list[Volume], anatomy: Anatomy, scan: Scan
) -> tuple[list[Exam], list[Volume], list[Volume]]:
    """Turn volumes whose slices have known positions into exams. Files that are left out are added to ``scan.skipped``.

    Returns:
        All exams, the volumes that are used, and the used volumes that stay whole.
    """
    if anatomy.whole:
        return one_stack_each(exams), volumes, volumes
    if anatomy.inputs == "stacks":
        whole = [volume for volume in volumes if not volume.oriented]
        if whole:
            reason = (
                "NIfTI without orientation (its sform and qform codes are 0): kept as a whole volume, without locations"
            )
            scan.skipped[reason] = list(dict.fromkeys(str(volume.image) for volume in whole))
        oriented = [volume for volume in volumes if volume.oriented]
        return one_stack_each([*exams, *exams_of_volumes(oriented)]), volumes, whole
    whole = [volume for volume in volumes if not volume.view]
    if anatomy.inputs != "views":
        for volume in volumes:
            if volume.view:
                reason = "NIfTI view of a heart: --anatomy cardiac reads it"
                scan.skipped.setdefault(reason, []).append(str(volume.image))
        return exams, whole, whole
    for volume in volumes:
        if not volume.view or volume.oriented:
            continue
        reason = "without orientation (its sform and qform codes are 0): the positions of its planes are unknown"
        if volume.view == anatomy.stack and volume.label is not None:
            reason += "; it is kept with its labels"
            whole.append(volume)
        scan.skipped.setdefault(f"NIfTI {volume.view} image {reason}", []).append(str(volume.image))
    named = [volume for volume in volumes if volume.view and volume.oriented]
    return [*exams, *exams_of_volumes(named)], [*named, *whole], whole


def _refuse_channels_of_series(exams: Sequence[Exam], channels: Sequence[str], named: bool, scan: Scan) -> None:
    """Raises `InputError` if one datalist would mix cases of named channels and DICOM series."""
    series = sum(suits(stack) for exam in exams for stack in exam.stacks)
    if channels and series:
        raise InputError(
            f"{scan.folder} contains DICOM series ({series}), each a case of one channel, while {', '.join(channels)}"
            " are channels of NIfTI files; convert the series to NIfTI (dcm2niix), with one file for each channel and "
            f"all files on one grid, or {'leave --channels out' if named else 'index each folder alone'}"
        )


def _train_on_unlabelled(
    divided: Division, places: Sequence[Exam | Volume], items: Sequence[dict], of_photographs: bool
) -> None:
    """If some patients have masks or grades, put the others into training, because validation and test need labels."""
    what, left_out_by = ("grade", "grading") if of_photographs else ("mask", "segmentation")
    masked = {item["patient"] for item in items if ("grade" in item if of_photographs else is_labelled(item))}
    rest = {place.patient_key for place in places if place.patient not in masked} - divided.of_nnunet
    if not masked or not rest:
        return
    divided.sections |= dict.fromkeys(rest, ("training",))
    divided.warnings.append(
        f"{count_of(len(rest), 'patient')} without a {what}: added to training, for pretexts; {left_out_by} leaves them out"
    )


def _entries(exams: Sequence[Exam], volumes: Sequence[Volume], anatomy: Anatomy) -> tuple[dict[str, dict], list[dict]]:
    """The datalist's entry for each exam, by the exam's hash, and all items."""
    entries, items = {}, []
    for exam in exams:
        entries[exam.name], exam_items = _exam_entry(exam, anatomy)
        items += exam_items
    for volume in volumes:
        entry = entries.setdefault(volume.name, {"patient": volume.patient, "stacks": {}, "left_out": []})
        entry["volumes"] = entry.get("volumes", 0) + 1
        items.append(_volume_item(volume))
    return entries, items


def _exam_entry(exam: Exam, anatomy: Anatomy) -> tuple[dict, list[dict]]:
    """An exam's entry in the datalist, and its items."""
    stacks, found, main_view = exam.stacks, exam.found, anatomy.stack
    summaries, items, notes = {}, [], [*exam.doubts, *exam.notes, *broken_remark(exam), *found.left_out]
    planes = {view: plane_of(stacks[other.stack], other.slice) for view, other in found.views.items()}
    if found.stack is not None:
        stack = found.learned(stacks, found.stack)
        exam.main_stack = stack
        summaries[main_view] = stack_summary(stack, main_view, found.confidence)
        if found.named not in (None, main_view):
            summaries[main_view]["named"] = found.named
        common = {"exam": exam.name, "patient": exam.patient, "stack": main_view, "planes": planes}
        items = [item | common for item in slice_items(stack, found.axis is not None)]
        notes += [*stack.doubts, *stack.absent]
        if found.axis is None and anatomy.unordered:
            notes.append(anatomy.unordered)
    for view, other in found.views.items():
        stack = stacks[other.stack]
        one = replace(stack, slices=[stack.slices[other.slice]])
        summaries[view] = stack_summary(stack if other.whole else one, view, other.confidence, other.runners_up)
        summaries[view]["items"] = slice_items(one, False, phases="first")
        notes += [f"{view}: {doubt}" for doubt in (*stack.doubts, *stack.absent)]
        if found.stack is not None:
            # the middle slice, because the middle of the ends moves with a misplaced slice
            main = stacks[found.stack]
            middle = main.image_centre(main.slices[len(main.slices) // 2])
            beside = stack.beside(stack.slices[other.slice], middle)
            if beside > SIDEWAYS:
                notes.append(
                    f"{view}: its image is {beside:.0f} mm away from the middle of the {main_view} stack: is it misplaced?"
                )
        if other.named not in (None, view):
            summaries[view]["named"] = other.named
    undecided = {plane.stack: plane for plane in found.undecided}
    for name, index in stack_names(stacks, found, main_view).items():
        if name.startswith("other"):
            summaries[name] = stack_summary(stacks[index], "undecided" if index in undecided else "other", None)
            notes += [f"{name}: {doubt}" for doubt in stacks[index].absent]
            if index in undecided:
                plane = undecided[index]
                summaries[name]["runners_up"] = {plane.view: round(plane.confidence, 3), **plane.runners_up}
        if index in found.remarks:
            summaries[name]["remark"] = found.remarks[index]
        notes += [note for note in stacks[index].notes if note not in notes]
    return {"patient": exam.patient, "stacks": summaries, "left_out": notes}, items


def _add_volumes_own(items: list[dict], volumes: Sequence[Volume]) -> None:
    """The masks and classes of volumes, for the items cut from them."""
    by_image = {(str(volume.image), volume.time): volume for volume in volumes}
    for item in items:
        # only items of a single file have an affine
        volume = by_image.get((item["image"], item.get("time"))) if "affine" in item else None
        if volume is not None:
            item |= _label_of(volume) | volume.classes


def _label_of(volume: Volume) -> dict:
    """A volume's mask, and the names of its values, as keys of an item."""
    if volume.label is None:
        return {}
    renamed = {} if volume.label_map is None else {"label_map": {str(k): v for k, v in volume.label_map.items()}}
    turned = {"label_axes": volume.label_axes} if volume.label_axes else {}
    return {"label": str(volume.label)} | renamed | turned


def _volume_item(volume: Volume) -> dict:
    image = [str(path) for path in volume.channels] or str(volume.image)
    item = {"image": image, "exam": volume.name, "patient": volume.patient}
    item |= _label_of(volume)
    if volume.phase is not None:
        item["phase"] = volume.phase
    if volume.time is not None:
        item["time"] = volume.time
    return item | volume.classes


def _warn_of_patients(result: IndexResult, volumes: Sequence[Volume]) -> None:
    """Warn if files count as separate patients, because NIfTI files and photographs do not name their patient."""
    counts = Counter(volume.patient_key for volume in volumes if volume.key.startswith("photograph:"))
    # a name with a word for an eye, a folder or a table identifies the patient
    single = sum(counts[f"photograph:{composed(volume.case)}"] == 1 for volume in volumes) if counts else 0
    if single > 1:
        result.warnings.append(
            f"{single} photographs are counted as separate patients; if several belong to one patient, say so "
            "in a column `patient` of the table, or name the two eyes 10_left and 10_right"
        )
    alone = {
        volume.patient_key for volume in volumes if volume.key.startswith("nifti:") and volume.patient_key == volume.key
    }
    if len(alone) > 1:
        result.warnings.append(
            f"{len(alone)} NIfTI cases are counted as separate patients; if several belong to one patient, begin "
            "their file names with the name of their folder (p1/p1_t1.nii.gz) or with the BIDS subject (sub-p1_), or "
            "give the folder a section with --sections"
        )


def _warn_of_no_orientation(result: IndexResult, volumes: Sequence[Volume]) -> None:
    """Warn about NIfTI files whose axes stay as stored, although all others are reoriented."""
    if names := {volume.image: volume.image.name for volume in volumes if not volume.oriented}:
        result.warnings.append(
            f"{count_of(len(names), 'NIfTI file')} without orientation (sform and qform codes of 0): networks get their axes "
            f"as stored, while all other files are reoriented: {some_of([*names.values()])}. If you know the "
            "orientation, write it into the header"
        )


def _warn_of_two_origins(result: IndexResult, masks: Sequence[Path], items: Sequence[dict]) -> None:
    """Warn if the exams use masks of two origins: those of ``--labels`` and, where it has none, the exams' own."""
    given = {str(path) for path in masks}
    exams: dict[bool, set[str]] = {True: set(), False: set()}
    for item in items:
        if "label" in item:
            exams[item["label"] in given].add(item["exam"])
    if exams[True] and exams[False]:
        result.warnings.append(
            f"masks of two origins: from --labels for {count_of(len(exams[True]), 'exam')}, and from the data itself for "
            f"{count_of(len(exams[False]), 'exam')} with images for which --labels has no mask; to use one kind of mask, "
            "predict the missing masks (`planewise segment DATALIST`), or remove the masks of the other kind"
        )


def _check_masks(result: IndexResult, items: Sequence[dict], view: str) -> None:
    """Remove masks that cannot be used (`labels.add_masks` has already checked those of ``--labels``), and warn about likely
    mistakes in masks and about masks of only some slices. Masks that a network predicted are checked where they are made.
    """
    slices: dict[tuple, set[int]] = defaultdict(set)
    covered: dict[str, tuple[tuple, set[int]]] = {}
    used: dict[str, dict] = {}
    for item in items:
        place = item["exam"], item.get("phase")
        slices[place].add(item.get("slice", 0))
        if is_labelled(item):
            used[item["label"]] = item
            covered.setdefault(item["label"], (place, set()))[1].add(item.get("slice", 0))
    found: dict[str, list[str]] = defaultdict(list)
    unknown: dict[str, list[int]] = {}
    unusable: dict[str, str] = {}
    for file, item in used.items():
        try:
            mask = read_mask(file, item.get("label_map"))[0]
        except InputError as error:
            unusable[file] = str(error)
            continue
        doubts = mask_doubts(mask, view)
        if values := unknown_values(mask, view):
            unknown[file] = values
        if mask.ndim == 4 and (empty := set(np.flatnonzero(~mask.any(axis=(0, 1, 2))))):
            # M&Ms draws end-diastole and end-systole only
            doubts.append("has frames in which nothing is drawn: these have no label")
            _remove_masks(each for each in items if each.get("label") == file and each.get("time") in empty)
        place, own = covered[file]
        if len(own) < len(slices[place]):
            doubts.append(f"covers {len(own)} of {len(slices[place])} slices: the others have no mask")
        for doubt in doubts:
            found[doubt].append(f"{Path(file).name} (exam {item['exam']})")
    result.warnings += [
        f"{'1 mask' if len(files) == 1 else f'each of {len(files)} masks'} {doubt}: {some_of(files)}"
        for doubt, files in found.items()
    ]
    _leave_out_masks(result, items, unusable)
    for item in items:
        if (file := item.get("label")) in unknown:
            item["unknown_labels"] = unknown[file]


def _leave_out_masks(result: IndexResult, items: Sequence[dict], reasons: Mapping[str, str]) -> None:
    """Remove masks that are no labels; ``reasons`` maps each file to the reason."""
    result.unmatched += [(Path(file).name, reason) for file, reason in reasons.items()]
    _remove_masks(item for item in items if item.get("label") in reasons)


def _remove_masks(items: Iterable[dict]) -> None:
    for item in items:
        for key in labels.OF_A_MASK:
            item.pop(key, None)


def _of_people(masks: Sequence[Path], is_unchecked: Callable[[Path], bool], result: IndexResult) -> Sequence[Path]:
    """The masks that people made, corrected or checked, with a warning that counts the others; all masks if a network made
    all of them."""
    made = [path for path in masks if not is_unchecked(path)]
    if len(made) in (0, len(masks)):
        return masks
    result.warnings.append(
        f"{count_of(len(masks) - len(made), 'mask')} of --labels left out, which a network predicted and nobody has "
        f"changed. If one is right as it is, copy it to NAME{MASK}{CORRECTED}.nii.gz and index again"
    )
    return made


def _mark_predicted(
    result: IndexResult, items: Sequence[dict], is_unchecked: Callable[[Path], bool], checked: bool
) -> None:
    """Mark the items whose masks a network predicted, and warn about them. Also warn about masks that may be predicted:
    their names, ``NAME/NAME_mask.nii.gz``, are those that a bundle's inference uses. If a person has checked all masks, only
    count those that a network predicted."""
    files = {item["label"]: item["exam"] for item in items if "label" in item}
    predicted = {file: exam for file, exam in files.items() if is_unchecked(Path(file))}
    if checked:
        if predicted:
            result.warnings.append(
                f"{len(predicted)} of {count_of(len(files), 'mask')} are unchanged predictions of a network: with --checked "
                "they count as labels"
            )
        return
    for item in items:
        if item.get("label") in predicted:
            item["label_origin"] = PREDICTED
    if predicted:
        result.warnings.append(
            "masks marked as predicted, because a network made them and nobody has changed them: "
            f"{count_of(len(predicted), 'mask')} of {count_of(len(set(predicted.values())), 'exam')}. They do not count as "
            "labels, and a single one stops the training of a segmentation bundle: correct masks, or copy those that are "
            f"right to NAME{MASK}{CORRECTED}.nii.gz, and index again; or, once a person has checked all masks, index with "
            "--checked"
        )
    named = {
        file: exam
        for file, exam in files.items()
        if file not in predicted and stem(Path(file)) == Path(file).parent.name + MASK
    }
    if named:
        result.warnings.append(
            "masks with the names that inference gives (NAME/NAME_mask.nii.gz), but without the mark of a predicted mask: "
            f"{count_of(len(named), 'mask')} of {count_of(len(set(named.values())), 'exam')}. They count as labels: if "
            "nobody has corrected them, take these files out of the folder"
        )


def _warn_of_similar_identifiers(result: IndexResult, exams: Sequence[Exam]) -> None:
    """Warn about PatientIDs that differ only in leading zeros or capitalisation: a spreadsheet or an archive may have
    changed them, so one patient would be in two sections. Folders or images stand for the identifiers, which are private.
    """
    paths = own_places({exam.key: (exam.folder, Path(exam.stacks[0].slices[0].phases[0].path)) for exam in exams})
    alike: dict[str, dict[str, str]] = defaultdict(dict)
    for exam in exams:
        kind, _, patient = exam.patient_key.partition(":")
        if kind == "patient":
            alike[loose(patient)].setdefault(patient, "/".join(paths[exam.key].parts[-2:]))
    if several := [" and ".join(names.values()) for names in alike.values() if len(names) > 1]:
        result.warnings.append(
            "PatientIDs that differ only in leading zeros or capitalisation, so they may be of one patient, but count as "
            f"different patients: {some_of(several)}. If they belong to one patient, assign these PatientIDs or folders to "
            "one section with --sections"
        )


def _other_organs(volumes: Sequence[Volume], items: Sequence[dict], hearts: bool) -> set[str]:
    """The images of whole volumes that cannot show a heart in its short axis. Files without orientation are kept.

    Slices a few degrees from a plane of the body belong to another organ. Slices exactly along the body may have lost their
    orientation, and others may be mirrored, as in M&Ms-2: next to hearts, they are kept only with a mask of a heart's volume.
    """
    oriented, other = {str(volume.image) for volume in volumes if volume.oriented}, set()
    whole = (item for item in sorted(items, key=is_labelled) if "affine" not in item and item["image"] in oriented)
    for image, item in {item["image"]: item for item in whole}.items():  # of the phases of a cine, one with a label
        affine = np.asarray(open_nifti(image).affine, dtype=np.float64)
        obliquity, off_axis = (
            measure(torch.from_numpy(affine)[None]) for measure in (stack_obliquity, degrees_off_axis)
        )
        if obliquity[0] >= SHORT_AXIS_OBLIQUITY and off_axis <= OFF_AXIS:
            continue
        ml = np.zeros(1)
        if hearts and is_labelled(item):
            mask = read_mask(item["label"], item.get("label_map"))[0]
            ml = (mask.reshape(*mask.shape[:3], -1) > 0).sum(axis=(0, 1, 2)) * abs(np.linalg.det(affine)) / 1000
        heart = not hearts or ((ml >= HEART_VOLUMES[0]) & (ml <= HEART_VOLUMES[1])).any()
        if NO_ORIENTATION <= obliquity[0] < SHORT_AXIS_OBLIQUITY or not heart:
            other.add(image)
    return other


def _warn_of_no_class(result: IndexResult, class_rows: dict[str, dict], items: Sequence[dict]) -> None:
    """Warn about exams that ``--classes`` does not name."""
    names = {name for row in class_rows.values() for name in row}
    lacking = {item["exam"] for item in items if not names & item.keys()}
    if class_rows and lacking:
        result.warnings.append(f"{count_of(len(lacking), 'exam')} without a class in --classes")


def _doubts_of_findings(class_rows: dict[str, dict]) -> list[str]:
    """Warnings about columns of ``--classes`` from which a knee's findings cannot be learned, although they have a finding's
    name, or words for yes and no."""
    columns: dict[str, set] = defaultdict(set)
    for row in class_rows.values():
        for column, value in row.items():
            columns[column].add(str(value))
    found = []
    for column, values in columns.items():
        wrong = sorted(value for value in values if value not in ("0", "1", "0.0", "1.0"))
        finding = column.lower()
        if finding in mrnet.LABELS and column != finding:
            found.append(
                f"the column {column} of --classes differs from the finding {finding} in capitalisation: write {finding}"
            )
        if wrong and (finding in mrnet.LABELS or _YES_NO & {value.lower() for value in values}):
            found.append(
                f"the column {column} of --classes has the values {some_of(wrong)}: to train on it, write 1 (present) or "
                "0 (absent), or leave the cell empty"
            )
    return found


def _leave_out_incomplete(entries: dict[str, dict], items: Sequence[dict], anatomy: Anatomy) -> set[str]:
    """Exams in which an item of the stack lacks the plane of a target view; their entries record it."""
    lacking = set()
    for item in items:
        missing = [view for view in anatomy.targets if view not in item.get("planes", anatomy.targets)]
        if missing and item["exam"] not in lacking:
            lacking.add(item["exam"])
            entries[item["exam"]]["left_out"].append(f"no {' and no '.join(missing)} plane: left out by --all-views")
    return lacking


def _nothing_usable(scan: Scan, result: IndexResult) -> str:
    exams = result.datalist["exams"]
    text = f"there is nothing in {scan.folder} to learn from: {count_of(scan.files, 'file')}, {count_of(len(exams), 'exam')}"
    whys = Counter(why for exam in exams.values() for why in exam["left_out"] if why.startswith("no "))
    reasons = "".join(f"\n  {count_of(count, 'exam')}: {why}" for why, count in whys.most_common(5))
    hint = "\nIndex knees with --anatomy knee" if KNEE in reasons else ""
    if "not a DICOM file" in scan.reasons and any(path.suffix.lower() in ENDINGS for path in scan.folder.rglob("*")):
        hint += "\nIndex photographs with --anatomy photograph"
    return text + scan.reasons + reasons + hint


def _warn(
    result: IndexResult, anatomy: Anatomy, fractions: Sequence[float] | None, divided: Division, incomplete: int
) -> None:
    datalist, main_view = result.datalist, anatomy.stack
    patients = len({item["patient"] for section in SECTIONS for item in datalist[section]})
    asked = dict(zip(SECTIONS, fractions or DEFAULT_SPLIT, strict=True))
    empty = [section for section in SECTIONS if not datalist[section] and asked[section] > 0]
    if "training" in empty:
        where = " and ".join(section for section in SECTIONS if datalist[section])
        result.empty = (
            f"training is empty: {count_of(patients, 'patient')} went to {where}. --split 1 0 0 puts everyone into"
            " training; another --seed draws again"
        )
    elif empty:
        are, them = ("are", "them") if len(empty) > 1 else ("is", "it")
        result.empty = f"{' and '.join(empty)} {are} empty"
        if patients < len(SECTIONS):
            result.empty += f", because there {'is' if patients == 1 else 'are'} only {count_of(patients, 'patient')}"
        elif divided.by_hash:
            result.empty += (
                f", because a hash divides {count_of(patients, 'patient')} only roughly. Larger shares (--split 0.6 0.2 0.2) "
                f"or another --seed may fill {them}; --sections assigns each patient to a section"
            )
        else:
            result.empty += (
                f" ({divided.rule}). --sections assigns patients to {them}; "
                "--split 0.6 0.2 0.2 divides all patients by a hash"
            )
    result.warnings += [result.empty] if result.empty else []
    if incomplete:
        result.warnings.append(f"{count_of(incomplete, 'exam')} left out, because a target view has no plane")
        return
    with_stack = [exam for exam in datalist["exams"].values() if main_view in exam["stacks"]]
    other = "labels" if anatomy.one_slice else "locations"
    for view in anatomy.targets:
        lacking = sum(view not in exam["stacks"] for exam in with_stack)
        if lacking:
            result.warnings.append(
                f"{count_of(lacking, 'exam')} of {len(with_stack)} with a {main_view} stack "
                f"{'has' if lacking == 1 else 'have'} no {view} plane: usable for {other}, but not for that view's lines"
            )
