"""Predict label maps without pages: for every image of a datalist, whose new labels they become if they can be hearts, and
for 4-chamber views, whose areas are listed."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planewise.data import absolute_datalist, mask_problem, read_datalist
from planewise.data.readable_items import NoneReadable
from planewise.engines.processes import keep_quiet
from planewise.engines.start_run import Inference
from planewise.errors import InputError
from planewise.exams import find_inputs
from planewise.exams.datalist import write_datalist, write_places
from planewise.exams.masks import OF_A_MASK
from planewise.files.atomic_write import claim_folder
from planewise.files.checksum import digest
from planewise.files.datalists import PREDICTED, SECTIONS
from planewise.files.masks import HEART_STRUCTURES
from planewise.files.nifti import is_nifti, open_nifti
from planewise.files.text import read_json
from planewise.findings import Finding, from_text, said
from planewise.own_exams.bundles import SEGMENTS, Provenance, bundle_and_weights, made_by
from planewise.own_exams.heart_stacks import by_exam, for_bundle, listed_reasons, no_short_axes, of_case, place_of
from planewise.own_exams.masks import STRUCTURES, mask_file, read_mask
from planewise.preprocessing.exam_name import exam_of, volume_name
from planewise.reports.tables import write_csv, write_json
from planewise.words import count_of

_LONG_AXIS = "downstream_cardiac_lax_segmentation"
#: File in the results folder that records the weights of its masks.
_RECORD = "segmentation.json"


@dataclass(frozen=True)
class SegmentedDatalist:
    """The new datalist and the folder of its masks, why exams have none, and the note on the weights."""

    datalist: Path
    masks: Path
    exams: int
    """number of exams that have masks"""
    images: int
    """number of segmented volumes, those of an earlier run included"""
    left_out: Mapping[str, Sequence[Finding]]
    """why the masks of an exam are not used"""
    note: str


def segment_datalist(
    path: Path,
    output: Path,
    *,
    weights: Path | None = None,
    min_obliquity: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SegmentedDatalist:
    """Segment every image of a datalist, and write ``output/masks`` and ``output/datalist.json``.

    The new datalist has the items of the old one, in the same sections. Predicted masks replace any others, and
    ``label_origin`` marks them. If one of an exam's masks is empty or cannot be a heart (`planewise.data.hearts`), or
    if the exam cannot be read or cannot be a short axis, the exam gets no masks, and its entry under ``exams`` gives the
    reason. Masks of an earlier run with the same datalist and weights are kept.

    Args:
        path: datalist of the short axis.
        output: folder for the masks and the new datalist.
        weights: weights of the bundle; None uses the shipped weights.
        min_obliquity: see `segment_exams`.
        progress: called with (volumes done, volumes in all).

    Raises:
        InputError: the datalist shows another view, there are no weights, ``output`` contains masks of other weights
            or of another datalist, the bundle refuses its input, or no exam has a plausible mask.
    """
    keep_quiet()
    path, output = path.expanduser().resolve(), output.expanduser().resolve()
    found, masks = _inputs(path), output / "masks"
    bundle, used = bundle_and_weights(SEGMENTS, weights)
    provenance = Provenance.of(bundle, used)
    _claim(output, {"bundle": provenance.bundle, "weights": provenance.sha256, "datalist": digest(path)})
    left_out = no_short_axes(found, min_obliquity, straight=True)
    inputs = [item for item in found if exam_of(item) not in left_out]
    settings = {"weights": used, "min_obliquity": min_obliquity, "output_dir": masks}
    left_out |= {exam: [why] for exam, why in _complete(inputs, bundle, settings, progress).items()}
    made = [item for item in inputs if exam_of(item) not in left_out]
    for item in made:
        if problem := mask_problem(mask_file(masks, volume_name(item)), STRUCTURES):
            left_out.setdefault(exam_of(item), [problem.about(str(item.get("phase", "")))])
    labels: dict[tuple, dict[str, object]] = {}
    for item in made:
        if exam_of(item) not in left_out:
            mask = {"label": str(mask_file(masks, volume_name(item))), "label_origin": PREDICTED}
            if isinstance(item["image"], list):
                # the masks' slices follow the order of the images given to the bundle
                labels |= {_place(entry): mask | {"label_frame": depth} for depth, entry in enumerate(item["image"])}
            else:
                labels[_place(item)] = mask
    if not labels:
        look = f"; look at {masks}, and give weights trained on such images (--weights)" if inputs else ""
        raise InputError(f"no exam has a mask that may be a heart{look}{listed_reasons(left_out)}")
    written = write_datalist(_relabelled(path, labels, left_out), output / "datalist.json")
    note = str(made_by([("masks", provenance)], "the error of these masks on patients"))
    with_masks = len({exam_of(item) for item in found} - left_out.keys())
    return SegmentedDatalist(written, masks, with_masks, len(made), left_out, note)


def _complete(
    inputs: Sequence[Mapping[str, Any]],
    bundle: Path,
    settings: Mapping[str, Any],
    progress: Callable[[int, int], None] | None,
) -> Mapping[str, Finding]:
    """Segment the exams that lack a mask; returns those that the bundle cannot read, with the reasons."""
    lacking = {exam_of(item) for item in inputs if not mask_file(settings["output_dir"], volume_name(item)).is_file()}
    # an exam is segmented as a whole, because its cycle follows from the names of all its phases
    todo = [item for item in inputs if exam_of(item) in lacking]
    if not todo:
        return {}
    counted = itertools.count(len(inputs) - len(todo) + 1)
    try:
        tell = (lambda _: progress(next(counted), len(inputs))) if progress else None
        return Inference(bundle, settings)(for_bundle(todo), tell)
    except NoneReadable as error:
        return error.refused


def _inputs(path: Path) -> list[dict[str, Any]]:
    """The volumes of a datalist, from all sections and phases, in the form that the bundle takes."""
    shown = (read_datalist(path).get("planewise") or {}).get("stack", "sax")
    if shown != "sax":
        raise InputError(
            f"the images of {path} show {shown!r}, but hearts are segmented in the short axis (sax); index the exams with "
            "`planewise index FOLDER`"
        )
    inputs = find_inputs(path, "all", "all", left_out=[])
    name, count = Counter(map(volume_name, inputs)).most_common(1)[0]
    if count > 1:
        raise InputError(f"{count} images of the datalist share the name {name}, so their masks would, too; keep one")
    return inputs


def _claim(output: Path, made_from: Mapping[str, str]) -> None:
    """Reserve a folder for one process, and for the masks of one datalist and one weights file."""
    claim_folder(output)
    known = None
    with suppress(InputError):
        known = read_json(output / _RECORD)
    masks = output / "masks"
    if known != made_from and masks.is_dir() and any(masks.iterdir()):
        raise InputError(
            f"{masks} contains masks from other weights or of another datalist; name another folder (-o), or remove that one"
        )
    write_json(output / _RECORD, made_from)


def _place(item: Mapping[str, Any]) -> tuple:
    """The values that identify an image."""
    return item["image"], item.get("frame"), item.get("time")


def _relabelled(
    path: Path, labels: Mapping[tuple, Mapping[str, object]], left_out: Mapping[str, Sequence[Finding]]
) -> dict:
    """The datalist with new labels; the entry of each exam without labels records the reasons."""
    datalist = absolute_datalist(path)
    masked: Counter[str] = Counter()
    for section in SECTIONS:
        items = []
        for item in datalist[section]:
            plain = {key: value for key, value in item.items() if key not in OF_A_MASK}
            items.append(plain | labels.get(_place(item), {}))
        datalist[section] = items
    for item in {_place(item): item for section in SECTIONS for item in datalist[section]}.values():
        masked[exam_of(item)] += "label" in item
    for exam, entry in datalist["exams"].items():
        if "labels" in entry:
            entry["labels"] = masked[exam]
        if exam in left_out:
            entry["left_out"] = [*entry.get("left_out", []), *(found.record() for found in left_out[exam])]
    return datalist


def segment_long_axis(
    path: str | Path, output: str | Path, *, weights: str | Path | None = None, unrecognised: bool = False
) -> list[str]:
    """Run the long-axis bundle on every phase of the 4-chamber views, and write ``areas.csv`` (the area of each structure in
    each image, cm2) and ``masks/`` into a folder. Returns what the terminal says.

    Args:
        path, output, weights: as for `segment_exams`.
        unrecognised: whether to take images that are not recognised as the view, as in exams without a short axis.

    Raises:
        InputError: there are no weights, or no exam has the view.
    """
    keep_quiet()
    path, masks = Path(path).expanduser().resolve(), Path(output).expanduser().resolve() / "masks"
    bundle, used = bundle_and_weights(_LONG_AXIS, weights)
    found = [of_case(item) for item in find_inputs(path, "all", "all", view="4ch", left_out=[])]
    flat = [item for item in found if _is_flat(item)]
    items = [item for item in flat if unrecognised or "why_not" not in item]
    if not items:
        none = "a stack of slices does not show a single plane" if found else "no 4ch view"
        why = said(found for item in flat for found in from_text(item["why_not"])) or none
        raise InputError(
            f"no exam can be used: {why}; name the folder of a 4ch series, and add --min_obliquity 0 to take its images as "
            "they are"
        )
    items = [{**item, "exam": exam_of(item)} for item in items]
    # the items are already checked
    given = {"output_dir": masks, "weights": used, "view": "4ch", "min_obliquity": 0}
    refused = Inference(bundle, given)(for_bundle(items))
    names, kept = HEART_STRUCTURES["4ch"], by_exam(item for item in items if exam_of(item) not in refused)
    if not kept:
        raise InputError("; ".join(f"exam {exam}: {why}" for exam, why in refused.items()))
    rows: list[list[object]] = []
    for item in (item for phases in kept.values() for item in phases):
        if mask := read_mask(masks, volume_name(item)):
            labels, affine = mask
            cm2 = np.linalg.norm(np.cross(affine[:3, 0], affine[:3, 1])) / 100
            areas = [round(float((labels == value).sum() * cm2), 2) for value in names]
            rows.append([exam_of(item), item.get("phase", ""), *areas])
    note = made_by([("masks", Provenance.of(bundle, used))], "the error of these areas on patients")
    heads = ["exam", "phase", *(f"{name}_cm2" for name in names.values())]
    columns = {head: [row[place] for row in rows] for place, head in enumerate(heads)}
    table = masks.parent / "areas.csv"
    write_csv(table, columns | {"note": [note.made_by] * len(rows)})
    write_places(table, {exam: place_of(phases) for exam, phases in kept.items()})
    return [
        *(f"Exam {exam} is left out: {why}." for exam, why in refused.items()),
        f"{count_of(len(rows), 'image')} segmented",
        f"Wrote {table} and {masks}",
        str(note),
    ]


def _is_flat(item: Mapping[str, Any]) -> bool:
    """Whether an item is one slice: the areas of several slices are not the area of a view."""
    if isinstance(item["image"], list):
        return len(item["image"]) == 1
    return not is_nifti(item["image"]) or open_nifti(item["image"]).shape[2:3] in ((), (1,))
