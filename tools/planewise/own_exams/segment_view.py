"""Segment the 4-chamber views of the exams in a folder: run the long-axis bundle, and list the areas of its label maps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planewise.engines.quiet import keep_quiet
from planewise.engines.run_inference import run_inference
from planewise.errors import InputError
from planewise.exams import find_inputs
from planewise.exams.datalist import write_places
from planewise.files.masks import HEART_STRUCTURES
from planewise.files.nifti import is_nifti, open_nifti
from planewise.findings import from_text, said
from planewise.own_exams.heart_bundles import (
    in_sentences,
    of_case,
    place_of,
    private_datalist,
    read_exams,
    read_mask,
    slices_of,
)
from planewise.own_exams.load_bundle import bundle_and_weights
from planewise.own_exams.provenance import Note, Provenance, made_by
from planewise.preprocessing.exam_name import exam_of, volume_name
from planewise.reports.tables import write_csv

#: The bundle of each view that `segment_view` segments.
VIEWS = {"4ch": "downstream_cardiac_lax_segmentation"}


@dataclass(frozen=True)
class SegmentedView:
    """The label maps of a view.

    Attributes:
        table: ``areas.csv``, the area of each structure in each image, cm2.
        masks: folder of the label maps and their pictures.
        images: number of images with a label map.
        note: note on the weights.
        said: remarks of the run, as sentences.
    """

    table: Path
    masks: Path
    images: int
    note: Note
    said: list[str]


def segment_view(
    path: str | Path,
    output: str | Path,
    view: str,
    *,
    weights: str | Path | None = None,
    unrecognised: bool = False,
) -> SegmentedView:
    """Run the bundle of a view on every phase, and write ``areas.csv`` and ``masks/`` into a folder.

    Args:
        path, output, weights: as for `segment_exams`.
        view: a key of `VIEWS`.
        unrecognised: whether to take images that are not recognised as the view, as in exams without a short axis.

    Raises:
        InputError: the view is unknown, there are no weights, or no exam has the view.
    """
    if view not in VIEWS:
        raise InputError(f"--view must be sax or {' or '.join(VIEWS)}, got {view}")
    keep_quiet()
    path, masks = Path(path).expanduser().resolve(), Path(output).expanduser().resolve() / "masks"
    bundle, used = bundle_and_weights(VIEWS[view], weights)
    found = [of_case(item) for item in find_inputs(path, "all", "all", view=view, left_out=[])]
    flat = [item for item in found if _count_slices(item) == 1]
    items = [item for item in flat if unrecognised or "why_not" not in item]
    if not items:
        none = "a stack of slices does not show a single plane" if found else f"no {view} view"
        why = said(found for item in flat for found in from_text(item["why_not"])) or none
        raise InputError(
            f"no exam can be used: {why}; name the folder of a {view} series, and add --min_obliquity 0 to take "
            "its images as they are"
        )
    items = [{**item, "exam": exam_of(item)} for item in items]
    with private_datalist({"test": slices_of(items)}) as input:
        given = {"input": input, "output_dir": masks, "weights": used, "phases": "all", "view": view}
        given["min_obliquity"] = 0  # the items are already checked
        refused = run_inference(bundle, given)
    kept = read_exams(items, refused)
    rows: dict[str, list[object]] = {key: [] for key in ("exam", "phase", *HEART_STRUCTURES[view].values())}
    for item in kept:
        if (mask := read_mask(masks, volume_name(item))) is None:
            continue
        labels, affine = mask
        cm2 = np.linalg.norm(np.cross(affine[:3, 0], affine[:3, 1])) / 100
        areas = {name: round(float((labels == value).sum() * cm2), 2) for value, name in HEART_STRUCTURES[view].items()}
        for key, value in {"exam": exam_of(item), "phase": item.get("phase", ""), **areas}.items():
            rows[key].append(value)
    table = masks.parent / "areas.csv"
    units = {name: f"{name}_cm2" for name in HEART_STRUCTURES[view].values()}
    note = made_by([("masks", Provenance.of(bundle, used))], "the error of these areas on patients")
    columns = {units.get(key, key): cells for key, cells in rows.items()}
    write_csv(table, columns | {"note": [note.made_by] * len(rows["exam"])})
    write_places(table, {exam_of(item): place_of([item]) for item in kept})
    return SegmentedView(table, masks, len(rows["exam"]), note, in_sentences(refused))


def _count_slices(item: Mapping[str, Any]) -> int:
    """Number of slices of an item: the areas of several slices are not the area of a view."""
    if isinstance(item["image"], list):
        return len(item["image"])
    return math.prod(open_nifti(item["image"]).shape[2:3]) if is_nifti(item["image"]) else 1
