"""Find inputs for a network at a path that the user gives."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from os.path import relpath
from pathlib import Path
from typing import Any

from planewise.data.datalist import gather_stacks, is_whole_volume, load_datalist
from planewise.data.readable_items import own_name
from planewise.data.select_items import cycle_fraction
from planewise.errors import InputError
from planewise.exams.anatomies import ANATOMIES, HEART_4CH, Anatomy, anatomy_of_stack, choose_anatomy
from planewise.exams.any_organ import one_stack_each
from planewise.exams.cases import read_cases
from planewise.exams.datalist import plane_of, slice_items
from planewise.exams.exam import Exam
from planewise.exams.grouping import group_exams, tell_broken
from planewise.exams.heart_sets import read_exam
from planewise.exams.refusals import ARCHIVE, DAMAGED, HIDDEN, NOT_DICOM
from planewise.exams.scan import scan_folder
from planewise.exams.stacks import unequal_counts
from planewise.exams.volumes import NO_IMAGE, PREDICTED_AS_IMAGE, case_and_phase, find_own_volumes, has_frames
from planewise.files.identity import hashed, load_salt
from planewise.files.masks import label_values, refuse_mask
from planewise.files.names import common_name, files_below, nifti_files
from planewise.files.nifti import UNREADABLE, is_nifti, open_nifti
from planewise.files.photographs import NO_PHOTOGRAPH, is_photograph, photograph_problem
from planewise.findings import FLAG, Finding, finding, from_text, of_level, said, to_text
from planewise.phases import named_phases, nearest_phase, phase_name, phases_not_used, usual_count
from planewise.preprocessing.exam_name import exam_of, stem
from planewise.words import count_of, some_of

logger = logging.getLogger(__name__)

_Items = list[dict[str, Any]]
#: Below this probability, a finding warns that the stack may not be the requested one.
SURE = 0.5


def find_inputs(
    path: str | Path,
    phases: str = "ed",
    section: str = "test",
    num_exams: int | None = None,
    view: str = "sax",
    contrast: str | None = None,
    left_out: _Items | None = None,
    skipped: dict[Finding, int] | None = None,
    workers: int = 1,
) -> _Items:
    """Find items for `planewise.preprocessing.LoadStackd` at a path.

    Args:
        path: a volume (NIfTI, ``.npy``); a folder of volumes, in which masks (``*_gt``, ``*_seg``, or files with only a few
            whole numbers) are ignored; a DICOM file or folder, in which the indexer finds the stacks; or a datalist.
        phases: phases of a cine: ``"ed"`` for the first phase of each slice, ``"all"`` for every phase.
        section: section of a datalist; ``"all"`` for every exam.
        num_exams: maximum number of exams, each with all its phases and stacks; None takes all.
        view, contrast, left_out, skipped, workers: see `planewise.exams.find_stacks`. Without ``left_out``, remarks on the
            inputs are also logged.

    Returns:
        ``{"image": path}`` for a volume, with ``time`` and ``phase`` for a frame of a cine with four axes;
        the items of `find_stacks` for DICOM files.

    Raises:
        InputError: the path does not exist, is a mask, or contains nothing that can be used.
    """
    given = _at(path)
    if given.suffix == ".json":
        found = _from_datalist(_section(given, section), phases)
    else:
        found = _from_files(given, phases, view)
        if found is None:  # DICOM comes last, because it requires reading the headers of a whole tree
            found = find_stacks(given, view, phases, contrast, left_out, skipped, workers)
    found = _first_exams(found, num_exams)
    # callers that pass left_out show the remarks themselves
    for item in found if left_out is None else ():
        for key, what in (("why_not", "it is processed anyway, although"), ("findings", "remark")):
            if item.get("phase") in (None, phase_name(0)) and (told := from_text(item.get(key, "[]"))):
                logger.warning("exam %s%s: %s: %s", exam_of(item), own_name(item), what, said(told))
    return found


def find_stacks(
    path: str | Path,
    view: str = "sax",
    phases: str = "ed",
    contrast: str | None = None,
    left_out: _Items | None = None,
    skipped: dict[Finding, int] | None = None,
    workers: int = 1,
) -> _Items:
    """The stacks to run a network on, from a DICOM file or a folder of them: an item per exam and phase. If no stack of
    an exam is recognised (no cine, not a heart, another contrast), the most likely one is returned with the reason.

    Args:
        path: folder or file.
        view: ``"sax"`` or ``"4ch"`` (hearts) or ``"sagittal"`` (knees); ``"stack"`` for any organ; or ``"volume"``,
            which makes an exam of every suitable stack, those with the most slices first.
        phases: ``"ed"`` for the first phase of each slice, ``"all"`` for every phase.
        contrast: contrast of sagittal stacks, see `index_folder`.
        left_out: receives the stacks of exams without a recognised stack, if other exams have one; None logs them.
        skipped: receives, for each reason, the number of files that were left out, without hidden and system files.
        workers: see `scan_folder`.

    Returns:
        ``image``: the slices from base to apex or from right to left, as items of a datalist; ``exam``: hash; ``views``: maps
        each view to its image at the first phase; ``phase``, if there are several; and, as text (`to_text`), ``findings``, of
        which flags without a subject concern all numbers, and those about a view its plane, and ``why_not`` if it is not the
        requested stack.

    Raises:
        InputError: the path contains no usable image, or an option is unknown.
    """
    sought = anatomy_of_stack(view)
    if sought is None or phases not in ("ed", "all"):
        known = ", ".join(repr(anatomy.stack) for anatomy in (*ANATOMIES.values(), HEART_4CH))
        raise InputError(f"view must be one of {known}, and phases 'ed' or 'all'; got view {view!r}, phases {phases!r}")
    anatomy = choose_anatomy(sought.name, contrast, view)
    path = Path(path).expanduser().resolve()
    folder, only = (path.parent, path) if path.is_file() else (path, None)
    scan = scan_folder(folder, workers, modalities=anatomy.modalities, only=only)
    if only is not None and not scan.frames:
        why = next(iter(scan.skipped), NOT_DICOM)
        raise InputError(f"{path} cannot be used: {why}; name a folder of DICOM files, or a volume")
    beside = finding("nifti-beside-dicom", count=len(scan.nifti))
    _log({DAMAGED: scan.broken, ARCHIVE: scan.skipped.get(ARCHIVE, ()), beside: scan.nifti}, folder)
    if skipped is not None:
        skipped |= {reason: len(paths) for reason, paths in scan.skipped.items() if paths and reason != HIDDEN}
        skipped |= {beside: len(scan.nifti)} if scan.nifti else {}
    exams = group_exams(scan.frames, scan.folder)
    if not exams:
        raise InputError(
            f"there is no DICOM image to use in {path}: {count_of(scan.files, 'file')}, {len(scan.nifti)} NIfTI in folders "
            f"below{scan.reasons}"
        )
    if anatomy.whole:
        exams = one_stack_each(exams)
    salt = load_salt(path)
    tell_broken(scan, exams)
    found = [item for exam in exams for item in _stacks_of(exam, anatomy, phases, hashed(exam.key, salt))]
    if anatomy.whole:
        found.sort(key=lambda item: -len(item["image"]))
    recognised = [item for item in found if "why_not" not in item]
    unused = {item["exam"]: item for item in found if recognised and "why_not" in item}
    if left_out is not None:
        left_out += unused.values()
    for exam, item in unused.items() if left_out is None else ():
        why = said(from_text(item["why_not"]))
        logger.warning("exam %s has no %s stack and is left out: %s", exam, anatomy.called, why)
    return recognised or found


def _stacks_of(exam: Exam, anatomy: Anatomy, phases: str, name: str) -> Iterator[dict[str, Any]]:
    """An exam's stack to run a network on, once per phase (see `find_stacks`)."""
    stacks = anatomy.prepared(exam.stacks)
    found = anatomy.found(stacks)
    why_not, index, findings = [], found.stack, list(found.findings)
    if index is None:
        most = max(range(len(stacks)), key=lambda number: len(stacks[number].slices))
        index = most if found.candidate is None else found.candidate
        why_not = findings or [finding("not-recognised", stack=anatomy.called, kind="stack")]
        # they also hold for the stack if it is taken anyway
        findings = of_level(findings, FLAG)
    elif found.confidence < SURE:
        findings.insert(0, finding("stack-unsure", confidence=round(found.confidence, 2)))
    axis = anatomy.axis(stacks[index])
    stack = found.learned(stacks, index) if not why_not else stacks[index].in_order(axis)
    planes = {view: plane_of(stacks[other.stack], other.slice) for view, other in found.views.items()}
    # the image of each view at its first phase
    firsts = {view: slice_items(stacks[other.stack], False, "first") for view, other in found.views.items()}
    views = {view: firsts[view][other.slice] for view, other in found.views.items()}
    findings += [*exam.findings, *stack.header_doubts, *stack.findings]
    for view, other in found.views.items():
        if other.named not in (None, view):
            number = stacks[other.stack].slices[other.slice].phases[0].series_number
            findings.append(finding("view-doubtful", view, named=other.named, number=number or "?", kind="misnamed"))
    findings += phases_not_used(stack.cycle) if phases == "all" else ()
    by_slice = defaultdict(list)
    for item in slice_items(stack, axis is not None):
        by_slice[item.pop("slice")].append(item | {"planes": planes})
    told = _as_text(findings=findings, why_not=why_not)
    for phase, slices in _in_phases([*by_slice.values()], phases):
        yield {"image": slices, "exam": name, "views": views, **told, **phase}


def _as_text(**findings: Sequence[Finding]) -> dict[str, str]:
    """Findings as keys of an input (`to_text`); those without any are left out."""
    return {key: to_text(found) for key, found in findings.items() if found}


def _in_phases(slices: Sequence[_Items], phases: str) -> Iterator[tuple[dict[str, str], _Items]]:
    """The first or all phases of a stack, from the items of each slice: the key ``phase`` if there are several, and the
    images. A slice that lacks a phase contributes its nearest one (`nearest_phase`)."""
    # items that name no phase, or one phase twice, keep their order
    ordered = [sorted(entries, key=cycle_fraction) for entries in slices]
    times = [[cycle_fraction(item) for item in entries] for entries in ordered]
    usual = usual_count(map(len, ordered))
    count = usual if phases == "all" else 1
    # the phases of most slices, because a slice may lack its first one
    cycle = [
        Counter(column).most_common(1)[0][0] for column in zip(*(t for t in times if len(t) == usual), strict=True)
    ]
    known = len({*cycle}) == usual
    for phase in named_phases(count):
        name = {"phase": phase_name(cycle[phase] if known else phase / usual)} if count > 1 else {}
        images = [
            entries[phase if not known and len(entries) == usual else nearest_phase(own, cycle[phase])]
            for entries, own in zip(ordered, times, strict=True)
        ]
        yield name, images


def find_volumes(
    path: str | Path, section: str = "test", num_exams: int | None = None, channels: Sequence[str] = ()
) -> _Items:
    """Find items for `planewise.preprocessing.LoadVolumed` at a path.

    Args:
        path: a NIfTI volume; a folder of volumes, or of cases with one file per channel, as for `planewise index --anatomy
            volume`; a folder of DICOM series without NIfTI files, each of which is a case; a photograph, or a folder of
            photographs without volumes; or a datalist.
        section: section of a datalist; ``"all"`` for every exam.
        num_exams: maximum number of exams, each with all its phases; None takes all.
        channels: endings of a case's file names, in order; empty if a case is a single file.

    Returns:
        Items whose ``image`` is a path, a list of paths (one per channel), or a list of slices. A stack of slices has
        its hash under ``exam``. Items of a datalist keep their other keys. The log names the files that are left
        out.

    Raises:
        InputError: the path does not exist, is a mask, contains no volume, or contains inputs of the same name.
    """
    given = _at(path)
    found = gather_stacks(_section(given, section)) if given.suffix == ".json" else _volumes_in(given, channels)
    return _first_exams(found, num_exams)


def _at(path: str | Path) -> Path:
    path = Path(path).expanduser().resolve()
    if not path.exists():
        raise InputError(f"there is no {path}; name a file, a folder or a datalist with --input")
    return path


def _section(path: Path, section: str) -> _Items:
    """The items of a section of a datalist."""
    if not (found := load_datalist(path, section)):
        raise InputError(f"section {section} of {path} is empty; choose another section, or index the exams again")
    return found


def _first_exams(found: _Items, num_exams: int | None) -> _Items:
    """All inputs of the first exams. Frames of a file, and files whose names differ only in the phase, are of one exam."""
    exam_of_each = [*map(_exam, found)]
    exams = list(dict.fromkeys(exam_of_each))
    if num_exams is None or len(exams) <= num_exams:
        return found
    logger.info("--num_exams %d: the first %d of %d exams are used", num_exams, num_exams, len(exams))
    first = {*exams[:num_exams]}
    return [item for item, exam in zip(found, exam_of_each, strict=True) if exam in first]


def _exam(item: Mapping[str, Any]) -> Hashable:
    image = item["image"]
    if item.get("exam") or not isinstance(image, str):
        return item.get("exam") or str(image)
    return Path(image).parent, case_and_phase(stem(Path(image)))[0]


def _from_datalist(items: _Items, phases: str) -> _Items:
    stacks: dict[tuple, dict[Any, _Items]] = defaultdict(lambda: defaultdict(list))
    volumes = []
    for item in items:
        if "affine" in item:
            stacks[exam_of(item), item.get("stack")][item.get("slice", -1)].append(item)
        else:
            volumes.append(item)
    for (exam, _), slices in stacks.items():
        ordered = [slices[key] for key in sorted(slices)]
        counts = [*map(len, ordered)]
        notes = phases_not_used(usual_count(counts)) if phases == "all" else []
        told = _as_text(findings=[*notes, *unequal_counts(counts)])
        volumes += [{"image": image, "exam": exam, **name, **told} for name, image in _in_phases(ordered, phases)]
    return volumes


def _from_files(path: Path, phases: str, view: str) -> _Items | None:
    """The items of a volume, or of the volumes of a folder; None if there are none."""
    if is_whole_volume(path):
        return _frames(_one(path), phases)
    # MRNet has a folder of arrays for each view
    for folder in (path, path / view):
        files = sorted(entry for entry in (folder.iterdir() if folder.is_dir() else ()) if is_whole_volume(entry))
        if files := [file for file in files if not file.name.startswith(".")]:
            _refuse_one_name(map(stem, files))
            return [item for image in _images_in(folder, files, view) for item in _frames(image, phases)]
    return None


def _refuse_one_name(names: Iterable[str]) -> None:
    """Raise `InputError` if the results of two inputs would have the same name, as for ``a.nii`` and ``a.nii.gz``."""
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"{count} inputs share the name {name} (with different endings or in different folders), so their results "
            "would have the same name, too; keep only one of them, or name a datalist of `planewise index` (--input "
            "list.json --section all)"
        )


def _one(path: Path) -> Path:
    """A file that a person named; an `InputError` if it is a mask."""
    if is_nifti(path):
        refuse_mask(path)
    return path


def _images_in(folder: Path, files: list[Path], view: str) -> list[Path]:
    """Select the images of a view among the volumes of a folder: without masks, by their names and, because a mask may have
    any name, by their values; and without a cine whose frames are also files."""
    nifti = [file for file in files if is_nifti(file)]
    known = read_exam(folder, nifti, defaultdict(list))
    volumes = find_own_volumes(nifti, defaultdict(list)) if known is None else known
    shown = [volume for volume in volumes if volume.view in ("", view)]
    cines = {volume.image for volume in shown if _count_frames(volume.image) > 1 and has_frames(volume, shown)}
    masks = {volume.image for volume in shown if label_values(volume.image)}
    images = {volume.image for volume in shown} - cines - masks
    kept = [file for file in files if file in images or file not in nifti]
    _log({finding("file-not-used", kind="view", view=view): [file for file in files if file not in kept]}, folder)
    if not kept:
        raise InputError(
            f"{folder} has no image of the view {view}, only masks or other views ({files[0].name}); name the folder of the "
            "images, or one file"
        )
    return kept


def _frames(path: Path, phases: str) -> _Items:
    """The items of a volume, or of the frames of a cine with four axes. Such a file has no times, so its frames count as one
    heartbeat, evenly spaced, that begins at end-diastole."""
    count = _count_frames(path)
    if count == 1:
        return [{"image": str(path)}]
    if phases != "all":
        return [{"image": str(path), "time": 0}]
    notes = _as_text(findings=phases_not_used(count))
    return [
        {"image": str(path), "time": time, "phase": phase_name(time / count), **notes} for time in named_phases(count)
    ]


def _count_frames(path: Path) -> int:
    """The number of times of a cine with four axes; 1 for any other volume."""
    if is_nifti(path):
        with suppress(*UNREADABLE):  # `LoadStackd` reports it
            return (*open_nifti(path).shape[3:], 1)[0]
    return 1


def _photographs_in(path: Path) -> _Items:
    found: dict[Finding | None, list[Path]] = defaultdict(list)
    for file in sorted(map(Path, files_below(path))):
        if file.name[0] != "." and file.suffix.lower() != ".csv" and file.is_file():
            found[photograph_problem(file) if is_photograph(file) else NO_PHOTOGRAPH].append(file)
    files = found.pop(None, [])
    if not files:
        reasons = said(found) or "no PNG or JPEG file"
        raise InputError(f"there is no photograph to use in {path}: {reasons}; name one, or a datalist, with --input")
    _refuse_one_name(map(stem, files))
    _log(found, path)
    return [{"image": str(file), "exam": file.stem} for file in files]


def _log(left_out: Mapping[Any, Iterable[str | Path]], folder: Path) -> None:
    for reason, files in left_out.items():
        if names := [relpath(file, folder) for file in files]:
            logger.warning("left out: %s (%d: %s)", reason, len(names), some_of(names))


def _volumes_in(path: Path, channels: Sequence[str]) -> _Items:
    if path.is_file():
        return [{"image": str(_one(path))}]
    below = [Path(file) for file in files_below(path)]
    files = nifti_files(below)
    if not files and any(map(is_photograph, below)):
        return _photographs_in(path)
    if not files and not channels:
        stacks = find_stacks(path, "volume")
        if "why_not" in stacks[0]:
            raise InputError(f"there is no volume to use in {path}: {said(from_text(stacks[0]['why_not']))}")
        return [{"image": stack["image"], "exam": stack["exam"]} for stack in stacks]
    found = read_cases(files, path, channels)
    if not found.volumes:
        reasons = "; ".join(f"{reason} ({len(paths)})" for reason, paths in found.skipped.items())
        single = ", or set --channels '[]' if each case is a single file" if channels else ""
        raise InputError(
            f"there is no volume to use in {path}: {reasons or finding('no-nifti')}; name one, or a datalist, with "
            f"--input{single}"
        )
    of_masks = {reason for reason in found.skipped if reason.subject == "mask"} | {NO_IMAGE, PREDICTED_AS_IMAGE}
    _log({reason: paths for reason, paths in found.skipped.items() if reason not in of_masks}, path)
    _refuse_one_name(common_name(case.channels) if case.channels else stem(case.image) for case in found.volumes)
    return [{"image": [str(file) for file in case.channels] or str(case.image)} for case in found.volumes]
