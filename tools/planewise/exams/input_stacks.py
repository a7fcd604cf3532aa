"""Find the stacks that a network runs on, in files."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.anatomies import ANATOMIES, HEART_4CH, anatomy_of_stack, choose_anatomy, prepare, seen_from
from planewise.exams.anatomy import Anatomy
from planewise.exams.any_organ import one_stack_each
from planewise.exams.broken_files import assign_broken, broken_remark
from planewise.exams.datalist import plane_of, slice_items
from planewise.exams.exam import Exam
from planewise.exams.grouping import group_exams
from planewise.exams.identity import hashed, load_salt
from planewise.exams.recognition import FoundView, Recognition
from planewise.exams.refusals import ARCHIVE, HIDDEN, LINKED_FOLDER
from planewise.exams.scan import scan_folder
from planewise.exams.stack import Stack, nearest_phase
from planewise.exams.words import count_of, named_phases, phases_not_used

logger = logging.getLogger(__name__)

#: Why a NIfTI file is not read.
_BESIDE_DICOM = "NIfTI file in a folder with DICOM files: name the file itself to use it"
#: Why an exam may lack slices if the patient was moved.
_MOVED = (
    "another exam of this study, in another frame of reference (the patient was moved), has slices like these, so "
    "this stack may be only a part"
)
#: Why an exam may lack slices if the headers assign several dates to its study.
_DATED = (
    "another exam of this study has another date but the same frame of reference, so this stack may be incomplete; if the "
    "dates were changed series by series, give all series of the study one date"
)


@dataclass(slots=True)
class InputStack:
    """One phase of an exam's stack."""

    exam: str
    """hash"""
    stack: str
    """the requested view, or ``"unknown"``"""
    phase: float
    """the phase as a fraction of the cycle"""
    slices: list[dict]
    """from base to apex or from right to left, as items of a datalist: ``image``, ``frame`` (multi-frame files only),
    ``affine``, ``phase`` and, if the ends can be told apart, ``location``"""
    planes: dict[str, dict[str, list[float]]]
    """maps each view to ``origin`` and unit ``normal``, RAS+, mm"""
    views: dict[str, dict]
    """maps each view to its image at the first phase, as an item of a datalist"""
    confidence: float
    """probability that it is the requested stack, in [0, 1]"""
    flag: str | None
    """why it is not the requested stack, in words; None if it is the requested stack"""
    doubts: list[str]
    """sentences about series of other views whose plane does not fit their name"""
    header: list[str] = field(default_factory=list)
    """sentences about the whole stack: headers that may be wrong (`Stack.header_doubts`), phases that may be missing,
    broken files, and slices that may be missing because they are in another stack or exam"""
    notes: list[str] = field(default_factory=list)
    """other sentences about images that were left out and about the order of the phases, as in the datalist's ``left_out``"""


def find_stacks(
    path: str | Path,
    view: str = "sax",
    phases: str = "ed",
    workers: int = 1,
    contrast: str | None = None,
    left_out: list[InputStack] | None = None,
    skipped: dict[str, int] | None = None,
) -> list[InputStack]:
    """The stacks to run a network on, from a DICOM file or a folder of them.

    If no stack of an exam is recognised (no cine, not a heart, another contrast), the most likely one is returned with
    a flag: a network can then report that it recognises nothing.

    Args:
        path: folder or file.
        view: ``"sax"`` or ``"4ch"`` (hearts) or ``"sagittal"`` (knees); ``"stack"`` for any organ; or ``"volume"``,
            which makes an exam of every suitable stack, as in a datalist.
        phases: ``"ed"`` for the first phase of each slice, ``"all"`` for every phase: one stack per phase.
        workers: processes that read headers.
        contrast: contrast of sagittal stacks, see `index_folder`.
        left_out: receives the exams of which all files are broken, and the flagged stacks of exams without a recognised
            stack, if other exams have one; None logs them.
        skipped: receives, for each reason, the number of files that were left out, without hidden and system files.

    Returns:
        One stack per exam and phase; for whole volumes, the stacks with the most slices come first.

    Raises:
        InputError: the path contains no usable image, or an option is unknown.
    """
    sought = anatomy_of_stack(view)
    if sought is None or phases not in ("ed", "all"):
        known = ", ".join(repr(anatomy.stack) for anatomy in (*ANATOMIES.values(), HEART_4CH))
        raise InputError(f"view must be one of {known}, and phases 'ed' or 'all'; got view {view!r}, phases {phases!r}")
    anatomy = seen_from(choose_anatomy(sought.name, contrast), view)
    path = Path(path).expanduser().resolve()
    folder, only = (path.parent, path) if path.is_file() else (path, None)
    scan = scan_folder(folder, workers, modalities=anatomy.modalities, only=only)
    if only is not None and not scan.frames:
        why = next(iter(scan.skipped), "not a DICOM image")
        raise InputError(f"{path} cannot be used: {why}; name a folder of DICOM files, or a volume")
    if scan.broken:
        count, example = sum(map(len, scan.broken.values())), next(iter(scan.broken.values()))[0]
        why = "; ".join(f"{len(paths)} x {reason}" for reason, paths in scan.broken.items())
        logger.warning(
            "%s left out, such as %s: %s", count_of(count, "broken file"), Path(example).relative_to(folder), why
        )
    if linked := scan.skipped.get(LINKED_FOLDER):
        logger.warning(
            "%s not followed, such as %s, because the link leads to a folder that contains this one: other files "
            "there are left out",
            count_of(len(linked), "link"),
            Path(linked[0]).relative_to(folder),
        )
    if archives := scan.skipped.get(ARCHIVE):
        logger.warning(
            "%s (.zip, .gz, ...) not read, such as %s: unpack it first",
            count_of(len(archives), "compressed file"),
            Path(archives[0]).relative_to(folder),
        )
    if scan.nifti and scan.frames:
        logger.warning(
            "left out %s, because the folder has DICOM files; to use such a file, name the file itself",
            count_of(len(scan.nifti), "NIfTI file"),
        )
    if skipped is not None:
        found = scan.skipped | {_BESIDE_DICOM: scan.nifti}
        skipped |= {reason: len(paths) for reason, paths in found.items() if paths and reason != HIDDEN}
    exams = group_exams(scan.frames, scan.folder, anatomy.places_apart)
    if not exams:
        nifti = f"\n  {len(scan.nifti)} x NIfTI in folders below: name one file or its folder" if scan.nifti else ""
        raise InputError(
            f"there is no DICOM image to use in {path}: {count_of(scan.files, 'file')}{scan.reasons}{nifti}"
        )
    if anatomy.whole:
        exams = one_stack_each(exams)
    salt = load_salt(path)
    for broken in assign_broken(scan, exams):
        name = hashed(broken.key, salt)
        if left_out is None:
            logger.warning("exam %s is left out: %s", name, broken.why)
        else:
            slices = [{"image": path} for path in broken.paths]
            left_out.append(InputStack(name, "unknown", 0.0, slices, {}, {}, 0.0, broken.why, []))
    chosen = []
    for exam in exams:
        chosen += _stacks_of(exam, anatomy, phases, hashed(exam.key, salt))
    if anatomy.whole:
        chosen.sort(key=lambda stack: -len(stack.slices))
    recognised = [stack for stack in chosen if stack.flag is None]
    if recognised:
        flagged = {stack.exam: stack for stack in chosen if stack.flag is not None}
        if left_out is not None:
            left_out.extend(flagged.values())
        for exam, stack in flagged.items() if left_out is None else ():
            logger.warning("exam %s has no %s stack and is left out: %s", exam, anatomy.called, stack.flag)
    return recognised or chosen


def _stacks_of(exam: Exam, anatomy: Anatomy, phases: str, name: str) -> list[InputStack]:
    """An exam's stack to run a network on, once per phase (see `find_stacks`)."""
    stacks = prepare(exam.stacks, anatomy)
    found = anatomy.recognise(stacks)
    if anatomy.seen_from is not None:
        found = anatomy.seen_from(stacks, found)
    flag, index = None, found.stack
    if index is None:
        index = found.candidate
        if index is None:
            index = max(range(len(stacks)), key=lambda number: len(stacks[number].slices))
        flag = "; ".join(found.left_out) or f"not recognised as a {anatomy.called} stack"
    told = [said for said in found.left_out if said not in found.parts] if flag is None else []
    parts = [*found.parts]
    # series of other organs have their frames of reference for other reasons: the second knee, another protocol
    if anatomy.inputs == "views":
        if any(not other.localizer and other.is_like(stacks[index]) for other in exam.moved):
            parts.append(_MOVED)
        # an exam with too few slices for a stack gets this reason however far away the other slices are
        if any(flag or other.may_be_part_of(stacks[index]) for other in exam.dated):
            parts.append(_DATED)
            flag = f"{flag}; {_DATED}" if flag else None
    axis = anatomy.axis(stacks[index])
    stack = found.learned(stacks, index) if flag is None else stacks[index].in_order(axis)
    planes = {view: plane_of(stacks[other.stack], other.slice) for view, other in found.views.items()}
    # the image of each view at its first phase
    views = {
        view: next(item for item in slice_items(stacks[other.stack], False, "first") if item["slice"] == other.slice)
        for view, other in found.views.items()
    }
    of_phases = phases_not_used(stack.cycle) if phases == "all" else []
    return [
        InputStack(
            exam=name,
            stack=anatomy.stack if flag is None else "unknown",
            phase=phase,
            slices=slices,
            planes=planes,
            views=views,
            confidence=found.confidence,
            flag=flag,
            doubts=_doubts(found, stacks),
            header=[
                *exam.doubts,
                *parts,
                *stack.header_doubts,
                *stack.absent,
                *broken_remark(exam, stack),
            ],
            notes=list(dict.fromkeys([*exam.notes, *told, *stack.notes, *of_phases])),
        )
        for phase, slices in _phases(stack, axis is not None, phases)
    ]


def _doubts(found: Recognition, stacks: Sequence[Stack]) -> list[str]:
    """Sentences, without a full stop, about series that are misnamed or may be badly prescribed."""

    def series(view: FoundView) -> str:
        number = stacks[view.stack].slices[view.slice].phases[0].series_number
        return f"series {number} shows this view, but" if number else "the series that shows this view"

    misnamed = [
        f"{view}: {series(other)} is named {other.named}"
        for view, other in found.views.items()
        if other.named not in (None, view)
    ]
    undecided = []
    for other in found.undecided:
        # a plane is reported only if its name claims a view that is missing; other planes without a view are common, such
        # as localizers and views of vessels
        if other.named and other.named not in found.views:
            shares = {other.view: other.confidence, **other.runners_up}
            likeliest = [f"{view} ({share:.2f})" for view, share in list(shares.items())[:2]]
            undecided.append(
                f"{other.named}: the series with this name is not used, since its plane may be {' or '.join(likeliest)}"
            )
    return misnamed + undecided


def _phases(stack: Stack, located: bool, phases: str) -> list[tuple[float, list[dict]]]:
    """Each phase with its slices, as in `InputStack`. A slice with fewer phases contributes its nearest phase
    (`nearest_phase`)."""
    by_slice = defaultdict(list)
    for item in slice_items(stack, located):
        by_slice[item.pop("slice")].append(item)
    cycle = stack.cycle
    there = [number / cycle for number in named_phases(cycle)]
    wanted = there if phases == "all" else there[:1]
    return [
        (
            round(phase, 6),
            [items[nearest_phase([item["phase"] for item in items], phase)] for items in by_slice.values()],
        )
        for phase in wanted
    ]
