"""Correct slice positions in a datalist for the heart's displacement from one breath-hold to the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from planewise.data.cycle_points import cycle_fraction
from planewise.data.datalist import absolute_datalist
from planewise.errors import InputError
from planewise.exams.split import SECTIONS
from planewise.geometry import LARGEST_SHIFT, breath_hold_shifts, plane_from_affine, relative_locations
from planewise.preprocessing import LoadSliced
from planewise.preprocessing.exam_name import exam_of

#: Largest median uncertainty of an exam's shifts, mm; shifts that are more uncertain are not applied. For images without any
#: information, the uncertainty is about twice this value.
MOST_UNCERTAIN = 2.5

#: Smallest median correlation along an exam's intersection lines after the shifts. A smaller correlation means that the
#: views show different tissue or different times.
LEAST_AGREEMENT = 0.8


@dataclass
class AlignedExam:
    """The result for one exam."""

    exam: str
    """hash"""
    images: int
    """number of images: short-axis slices, and views that intersect them"""
    why_not: str | None
    """the reason why the exam was left unchanged, as a sentence; None if its shifts are corrected"""
    agreement: tuple[float, float] | None = None
    """median correlation along the intersection lines, before and after the correction"""
    shifts: torch.Tensor | None = None
    """``(images, 3)``, RAS+, mm; the estimated shifts, even if they are not applied"""
    uncertainty: float | None = None
    """median standard deviation of a shift, mm"""


def undo_breath_holds(
    datalist: str | Path, progress: Callable[[int, int], None] | None = None
) -> tuple[dict[str, Any], list[AlignedExam]]:
    """Copy a datalist of short-axis stacks, and correct its breath-hold shifts (`breath_hold_shifts`).

    Only the first phase of each image is read. In a corrected exam, items and views get ``shift`` (mm, RAS+), which is
    already applied to their ``affine`` and ``planes``, and locations are computed again. Other exams stay unchanged.
    The entry of each exam records the result under ``breath_holds``.

    Args:
        datalist: output of `planewise index`.
        progress: called with (exams done, exams in all).

    Returns:
        The datalist, with absolute paths, and the result for each exam.

    Raises:
        InputError: the file is not a datalist of short-axis stacks, or its shifts are already corrected.
    """
    path = Path(datalist).expanduser().resolve()
    content = absolute_datalist(path)
    stack = content["planewise"].get("stack")
    if stack != "sax":
        raise InputError(
            f"{path.name} contains the stack {stack!r}; breath-holds are corrected only in short-axis stacks of hearts: "
            "index the folder with --anatomy cardiac and without --view"
        )
    items = defaultdict(list)
    for section in SECTIONS:
        for item in content[section]:
            items[exam_of(item)].append(item)
    if content["planewise"].get("breath_holds"):
        raise InputError(f"the shifts of {path.name} are already corrected; start from the output of `planewise index`")
    content["planewise"]["breath_holds"] = "undone"
    found = []
    for number, (name, entry) in enumerate(content["exams"].items()):
        exam = _align(name, entry, items[name])
        entry["breath_holds"] = _record(exam)
        found.append(exam)
        if progress is not None:
            progress(number + 1, len(content["exams"]))
    return content, found


def _record(exam: AlignedExam) -> dict[str, Any]:
    """The datalist's entry for an exam's breath-holds."""
    record: dict[str, Any] = {"undone": exam.why_not is None}
    if exam.why_not is not None:
        record["why_not"] = exam.why_not
    if exam.agreement is not None:
        record["agreement"] = [round(value, 4) for value in exam.agreement]
        record["uncertainty_mm"] = round(exam.uncertainty, 3)
    return record


def _align(name: str, entry: dict[str, Any], items: list[dict[str, Any]]) -> AlignedExam:
    """Find an exam's shifts, and write them into its entry and items if they can be trusted."""
    slices = defaultdict(list)
    for item in items:
        if "affine" in item:
            slices[item["slice"]].append(item)
    first = [min(slices[rank], key=cycle_fraction) for rank in sorted(slices)]
    # the image of each recognised view that intersects the stack
    views = {view: stack["items"][0] for view, stack in entry["stacks"].items() if view != "sax" and stack.get("items")}
    images = [*first, *views.values()]
    if not first or not views:
        why = "no slices with a position in space" if not first else "no view that intersects the short axis"
        return AlignedExam(name, len(images), f"It has {why}.")
    load = LoadSliced("image")
    loaded = [load({**item, "exam": name})["image"] for item in images]
    affines = torch.stack([image.affine.to(torch.float64) for image in loaded])
    thick = [entry["stacks"][view].get("thickness", 0.0) for view in (*["sax"] * len(first), *views)]
    result = breath_hold_shifts([image.as_tensor()[0, ..., 0] for image in loaded], affines, torch.tensor(thick))
    exam = AlignedExam(name, len(images), None, shifts=result.shifts, uncertainty=float(result.uncertainty.median()))
    if len(result.after):
        exam.agreement = (float(result.before.median()), float(result.after.median()))
    exam.why_not = _why_not(exam, affines[: len(first)])
    if exam.why_not is None:
        shifts = dict(zip([*sorted(slices), *views], result.shifts.tolist(), strict=True))
        _move(entry, slices, views, shifts)
    return exam


def _why_not(exam: AlignedExam, stack: torch.Tensor) -> str | None:
    """The reason why an exam's shifts cannot be trusted, or None if they can.

    Args:
        exam: the exam with its shifts.
        stack: affines of the short-axis slices, ``(slices, 4, 4)``.
    """
    if exam.agreement is None:
        return "Its images do not intersect where they show the heart."
    if exam.uncertainty > MOST_UNCERTAIN:
        return (
            f"Its intensities are not informative enough: the shifts are uncertain by {exam.uncertainty:.1f} mm, "
            f"and the limit is {MOST_UNCERTAIN:g} mm."
        )
    if exam.agreement[1] < LEAST_AGREEMENT:
        return (
            f"Its views do not agree: after correction, the correlation along their intersection lines is "
            f"{exam.agreement[1]:.2f}, and it must be at least {LEAST_AGREEMENT:g}."
        )
    if float(exam.shifts.abs().max()) > 0.9 * LARGEST_SHIFT:
        return f"A shift would be near the search limit, {LARGEST_SHIFT:g} mm."
    _, normal = plane_from_affine(stack[0])
    order = [(stack[:, :3, 3] + shift) @ normal for shift in (torch.zeros(3), exam.shifts[: len(stack)])]
    if len(stack) > 1 and not torch.equal(order[0].argsort(), order[1].argsort()):
        return "The shifts would change the order of the slices."
    return None


def _move(
    entry: dict[str, Any],
    slices: Mapping[int, list[dict[str, Any]]],
    views: Mapping[str, dict[str, Any]],
    shifts: Mapping[int | str, list[float]],
) -> None:
    """Write shifts into an exam's items and views."""
    ranks = sorted(slices)
    for rank in ranks:
        for item in slices[rank]:
            _shift(item, shifts[rank])
    origins = torch.tensor([[row[3] for row in slices[rank][0]["affine"][:3]] for rank in ranks], dtype=torch.float64)
    _, normal = plane_from_affine(torch.tensor(slices[ranks[0]][0]["affine"], dtype=torch.float64))
    locations = relative_locations(origins, normal).tolist()
    for rank, location in zip(ranks, locations, strict=True):
        for item in slices[rank]:
            if "location" in item:
                item["location"] = round(location, 9)
            item["planes"] = {
                view: {**plane, "origin": _sum(plane["origin"], shifts[view])} if view in views else plane
                for view, plane in item["planes"].items()
            }
    for view, item in views.items():
        _shift(item, shifts[view])


def _shift(item: dict[str, Any], shift: list[float]) -> None:
    rows = [list(row) for row in item["affine"]]
    for row, moved in zip(rows, _sum([row[3] for row in rows[:3]], shift), strict=False):
        row[3] = moved
    item |= {"affine": rows, "shift": [round(value, 6) for value in shift]}


def _sum(point: list[float], shift: list[float]) -> list[float]:
    # the shift is rounded in the same way, so that affine and shift agree
    return [round(a + round(b, 6), 9) for a, b in zip(point, shift, strict=True)]
