"""The items and entries of a datalist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from planewise.exams.anatomies import Anatomy
from planewise.exams.datalist import plane_of, slice_items, stack_summary
from planewise.exams.exam import Exam
from planewise.exams.volume import Volume
from planewise.files.datalists import is_labelled
from planewise.files.masks import read_mask
from planewise.files.nifti import open_nifti
from planewise.findings import Finding, finding
from planewise.geometry.planes import degrees_off_axis, stack_obliquity
from planewise.geometry.tolerances import HEART_VOLUMES, NO_ORIENTATION, OFF_AXIS, SHORT_AXIS_OBLIQUITY


def entries_of(
    exams: Sequence[Exam], volumes: Sequence[Volume], whole: Sequence[Volume], anatomy: Anatomy
) -> tuple[dict[str, dict], list[dict]]:
    """The datalist's entry for each exam, by the exam's hash, and all items. Volumes give their masks and classes also to the
    slices cut from them; those in ``whole`` are items themselves. Sets ``main_stack`` of the exams."""
    entries, items = {}, []
    for exam in exams:
        entries[exam.name], exam_items = _exam_entry(exam, anatomy)
        items += exam_items
    for volume in whole:
        entry = entries.setdefault(volume.name, {"patient": volume.patient, "stacks": {}, "left_out": []})
        entry["volumes"] = entry.get("volumes", 0) + 1
        items.append(_volume_item(volume))
    by_image = {(str(volume.image), volume.time): volume for volume in volumes}
    for item in items:
        # only items of a single file have an affine
        volume = by_image.get((item["image"], item.get("time"))) if "affine" in item else None
        if volume is not None:
            item |= _label_of(volume) | volume.classes
    return entries, items


def _exam_entry(exam: Exam, anatomy: Anatomy) -> tuple[dict, list[dict]]:
    """An exam's entry in the datalist, and its items."""
    found = exam.found
    planes = {view: plane_of(exam.stacks[other.stack], other.slice) for view, other in found.views.items()}
    items: list[dict] = []
    if found.stack is not None:
        exam.main_stack = found.learned(exam.stacks, found.stack)
        common = {"exam": exam.name, "patient": exam.patient, "stack": anatomy.stack, "planes": planes}
        items = [item | common for item in slice_items(exam.main_stack, found.axis is not None)]
    summaries, told = _summaries(exam, anatomy)
    notes = dict.fromkeys([*exam.findings, *found.findings, *told])
    return {"patient": exam.patient, "stacks": summaries, "left_out": [note.record() for note in notes]}, items


def _summaries(exam: Exam, anatomy: Anatomy) -> tuple[dict[str, dict], list[Finding]]:
    """A summary of each stack, by its view or ``other-1``, ...; and what was found out about the stacks: under its name about
    each stack but the one to learn from."""
    stacks, found, main_view, summaries, told = exam.stacks, exam.found, anatomy.stack, {}, []
    if found.stack is not None:
        summaries[main_view] = stack_summary(exam.main_stack, main_view, found.confidence)
        if found.named not in (None, main_view):
            summaries[main_view]["named"] = found.named
        told += [*exam.main_stack.doubts, *exam.main_stack.findings]
        if found.axis is None and anatomy.unordered:
            told.append(finding("no-locations", kind=anatomy.unordered))
    for view, other in found.views.items():
        stack = stacks[other.stack]
        one = replace(stack, slices=[stack.slices[other.slice]])
        summaries[view] = stack_summary(stack if other.whole else one, view, other.confidence)
        summaries[view]["items"] = slice_items(one, False, phases="first")
        if other.named not in (None, view):
            summaries[view]["named"] = other.named
        told += [each.about(view) for each in (*stack.doubts, *stack.findings)]
    used = {found.stack, *(other.stack for other in found.views.values())}
    undecided = {plane.stack for plane in found.undecided}
    rest = (index for index in range(len(stacks)) if index not in used)
    for name, index in ((f"other-{number}", index) for number, index in enumerate(rest, start=1)):
        summaries[name] = stack_summary(stacks[index], "undecided" if index in undecided else "other", None)
        told += [each.about(name) for each in stacks[index].findings]
    return summaries, told


def _label_of(volume: Volume) -> dict:
    """A volume's mask, and the names of its values, as keys of an item."""
    if volume.label is None:
        return {}
    renamed = {} if volume.label_map is None else {"label_map": {str(k): v for k, v in volume.label_map.items()}}
    turned = {"label_axes": volume.label_axes} if volume.label_axes else {}
    return {"label": str(volume.label)} | renamed | turned


def _volume_item(volume: Volume) -> dict:
    image = [str(path) for path in volume.channels] or str(volume.image)
    item = {"image": image, "exam": volume.name, "patient": volume.patient} | _label_of(volume)
    phase = {"phase": volume.phase, "time": volume.time}
    return item | {key: value for key, value in phase.items() if value is not None} | volume.classes


def leave_out_incomplete(entries: dict[str, dict], items: Sequence[dict], anatomy: Anatomy) -> set[str]:
    """Exams in which an item of the stack lacks the plane of a target view; their entries record it."""
    lacking = set()
    for item in items:
        missing = [view for view in anatomy.targets if view not in item.get("planes", anatomy.targets)]
        if missing and item["exam"] not in lacking:
            lacking.add(item["exam"])
            entries[item["exam"]]["left_out"].append(finding("exams-lack", views=missing, kind="view").record())
    return lacking


def other_organs(exams: Sequence[Exam], volumes: Sequence[Volume], items: Sequence[dict]) -> set[str]:
    """The images of whole volumes that cannot show a heart in its short axis. Files without orientation are kept.

    Slices a few degrees from a plane of the body belong to another organ. Slices exactly along the body may have lost their
    orientation, and others may be mirrored, as in M&Ms-2: next to hearts, they are kept only with a mask of a heart's volume.
    """
    hearts = any(not exam.case and exam.found.stack is not None for exam in exams)
    labelled = {item["image"]: item for item in items if is_labelled(item) and "affine" not in item}
    other = set()
    for image in {str(volume.image) for volume in volumes if volume.oriented}:
        affine = np.asarray(open_nifti(image).affine, dtype=np.float64)
        grid, ml = torch.from_numpy(affine)[None], np.zeros(1)
        obliquity = stack_obliquity(grid)[0]
        usual = obliquity >= SHORT_AXIS_OBLIQUITY and degrees_off_axis(grid) <= OFF_AXIS
        if hearts and not usual and (item := labelled.get(image)):
            mask = read_mask(item["label"], item.get("label_map"))[0]
            ml = (mask.reshape(*mask.shape[:3], -1) > 0).sum(axis=(0, 1, 2)) * abs(np.linalg.det(affine)) / 1000
        of_heart = not hearts or usual or ((ml >= HEART_VOLUMES[0]) & (ml <= HEART_VOLUMES[1])).any()
        if NO_ORIENTATION <= obliquity < SHORT_AXIS_OBLIQUITY or not of_heart:
            other.add(image)
    return other
