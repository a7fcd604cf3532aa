"""Find the stacks that a network runs on, in files."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.anatomies import (
    ANATOMIES,
    HEART_4CH,
    Anatomy,
    anatomy_of_stack,
    choose_anatomy,
)
from planewise.exams.any_organ import one_stack_each
from planewise.exams.datalist import plane_of, slice_items
from planewise.exams.exam import Exam, Recognition
from planewise.exams.grouping import assign_broken, broken_remark, group_exams
from planewise.exams.refusals import ARCHIVE, DAMAGED, HIDDEN, LINKED_FOLDER, NOT_DICOM
from planewise.exams.scan import Scan, scan_folder
from planewise.exams.stack import Stack
from planewise.files.identity import hashed, load_salt
from planewise.findings import FLAG, Finding, finding, of_level, said, to_text
from planewise.phases import named_phases, nearest_phase, phases_not_used
from planewise.words import count_of

logger = logging.getLogger(__name__)

#: Below this probability, a remark warns that the stack may not be the requested one.
SURE = 0.5


@dataclass(slots=True)
class InputStack:
    """One phase of an exam's stack."""

    exam: str  #: hash
    stack: str  #: the requested view, or ``"unknown"``
    phase: float  #: a fraction of the cycle
    slices: list[dict]
    """from base to apex or from right to left, as items of a datalist: ``image``, ``frame`` (multi-frame files only),
    ``affine``, ``phase`` and, if the ends can be told apart, ``location``"""
    planes: dict[str, dict[str, list[float]]]  #: maps each view to ``origin`` and unit ``normal``, RAS+, mm
    views: dict[str, dict]  #: maps each view to its image at the first phase, as an item of a datalist
    confidence: float  #: probability that it is the requested stack, in [0, 1]
    why_not: list[Finding] = field(default_factory=list)  #: why it is not the requested stack; empty if it is
    findings: list[Finding] = field(default_factory=list)
    """flags without a subject concern all its numbers, those about a view its plane; notes are those of the datalist's
    ``left_out``"""


def find_stacks(
    path: str | Path,
    view: str = "sax",
    phases: str = "ed",
    contrast: str | None = None,
    left_out: list[InputStack] | None = None,
    skipped: dict[Finding, int] | None = None,
) -> list[InputStack]:
    """The stacks to run a network on, from a DICOM file or a folder of them: one per exam and phase. If no stack of
    an exam is recognised (no cine, not a heart, another contrast), the most likely one is returned with a flag.

    Args:
        path: folder or file.
        view: ``"sax"`` or ``"4ch"`` (hearts) or ``"sagittal"`` (knees); ``"stack"`` for any organ; or ``"volume"``,
        which makes
            an exam of every suitable stack, those with the most slices first.
        phases: ``"ed"`` for the first phase of each slice, ``"all"`` for every phase: one stack per phase.
        contrast: contrast of sagittal stacks, see `index_folder`.
        left_out: receives the exams of which all files are broken, and the flagged stacks of exams without a recognised
            stack, if other exams have one; None logs them.
        skipped: receives, for each reason, the number of files that were left out, without hidden and system files.

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
    scan = scan_folder(folder, modalities=anatomy.modalities, only=only)
    if only is not None and not scan.frames:
        why = next(iter(scan.skipped), NOT_DICOM)
        raise InputError(f"{path} cannot be used: {why}; name a folder of DICOM files, or a volume")
    _log_left_out(scan)
    if skipped is not None:
        skipped |= {reason: len(paths) for reason, paths in scan.skipped.items() if paths and reason != HIDDEN}
        skipped |= {finding("nifti-beside-dicom", count=len(scan.nifti)): len(scan.nifti)} if scan.nifti else {}
    exams = group_exams(scan.frames, scan.folder)
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
            left_out.append(InputStack(name, "unknown", 0.0, slices, {}, {}, 0.0, [broken.why]))
    chosen = [stack for exam in exams for stack in _stacks_of(exam, anatomy, phases, hashed(exam.key, salt))]
    if anatomy.whole:
        chosen.sort(key=lambda stack: -len(stack.slices))
    recognised = [stack for stack in chosen if not stack.why_not]
    flagged = {stack.exam: stack for stack in chosen if recognised and stack.why_not}
    if left_out is not None:
        left_out.extend(flagged.values())
    for exam, stack in flagged.items() if left_out is None else ():
        logger.warning("exam %s has no %s stack and is left out: %s", exam, anatomy.called, said(stack.why_not))
    return recognised or chosen


def _log_left_out(scan: Scan) -> None:
    """Log what a person may have meant to use."""
    others = {why: scan.skipped.get(why, ()) for why in (LINKED_FOLDER, ARCHIVE)}
    for why, files in {DAMAGED: scan.broken, **others}.items():
        if files:
            example = os.path.relpath(files[0], scan.folder)
            logger.warning("%s left out, such as %s: %s", count_of(len(files), "file"), example, why)
    if scan.nifti and scan.frames:
        logger.warning("%s", finding("nifti-beside-dicom", count=len(scan.nifti)))


def remarks_of(stack: InputStack) -> dict[str, str]:
    """The findings of a stack as keys of an item (`planewise.findings.to_text`): ``findings``, and ``why_not`` if it is not
    the requested stack."""
    findings = list(stack.findings)
    if not stack.why_not and stack.confidence < SURE:
        findings.insert(0, finding("stack-unsure", confidence=round(stack.confidence, 2)))
    told = {"findings": findings, "why_not": stack.why_not}
    return {key: to_text(each) for key, each in told.items() if each}


def _stacks_of(exam: Exam, anatomy: Anatomy, phases: str, name: str) -> list[InputStack]:
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
    axis = anatomy.axis(stacks[index])
    stack = found.learned(stacks, index) if not why_not else stacks[index].in_order(axis)
    planes = {view: plane_of(stacks[other.stack], other.slice) for view, other in found.views.items()}
    # the image of each view at its first phase
    firsts = {view: slice_items(stacks[other.stack], False, "first") for view, other in found.views.items()}
    views = {view: firsts[view][other.slice] for view, other in found.views.items()}
    findings += [*exam.findings, *stack.header_doubts, *stack.findings, *broken_remark(exam, stack)]
    findings += [*_doubts(found, stacks), *(phases_not_used(stack.cycle) if phases == "all" else ())]
    kind, findings = "unknown" if why_not else anatomy.stack, list(dict.fromkeys(findings))
    return [
        InputStack(name, kind, phase, slices, planes, views, found.confidence, why_not, findings)
        for phase, slices in _phases(stack, axis is not None, phases)
    ]


def _doubts(found: Recognition, stacks: Sequence[Stack]) -> list[Finding]:
    """Flags of series that are misnamed or may be badly prescribed."""
    doubts = []
    for view, other in found.views.items():
        if other.named not in (None, view):
            number = stacks[other.stack].slices[other.slice].phases[0].series_number
            doubts.append(finding("view-doubtful", view, named=other.named, number=number or "?", kind="misnamed"))
    for other in found.undecided:
        # a plane is reported only if its name claims a view that is missing; other planes without a view are common, such
        # as localizers and views of vessels
        if other.named and other.named not in found.views:
            shares = [(other.view, other.confidence), *list(other.runners_up.items())[:1]]
            likely = [f"{view} ({share:.2f})" for view, share in shares]
            doubts.append(finding("view-doubtful", other.named, likely=likely, kind="undecided"))
    return doubts


def _phases(stack: Stack, located: bool, phases: str) -> list[tuple[float, list[dict]]]:
    """Each phase with its slices, as in `InputStack`. A slice with fewer phases contributes its nearest phase
    (`nearest_phase`)."""
    by_slice = defaultdict(list)
    for item in slice_items(stack, located):
        by_slice[item.pop("slice")].append(item)
    cycle = stack.cycle
    wanted = [number / cycle for number in named_phases(cycle)][: None if phases == "all" else 1]
    times = {number: [item["phase"] for item in items] for number, items in by_slice.items()}
    return [
        (round(phase, 6), [items[nearest_phase(times[number], phase)] for number, items in by_slice.items()])
        for phase in wanted
    ]
