"""Add predicted masks to a datalist: run the segmentation bundle on every image, and reject masks that cannot be
hearts.
"""

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
from planewise.engines.quiet import keep_quiet
from planewise.engines.run_inference import run_inference
from planewise.errors import InputError
from planewise.exams import find_inputs
from planewise.exams.datalist import write_datalist
from planewise.exams.masks import OF_A_MASK
from planewise.files.datalists import PREDICTED, SECTIONS
from planewise.files.nifti import SAME_GRID, UNREADABLE, grid_of_slices, open_nifti, written_affine
from planewise.files.predicted_masks import is_corrected, set_aside
from planewise.files.text import read_json
from planewise.findings import Finding, finding, said
from planewise.geometry.tolerances import SHORT_AXIS_OBLIQUITY
from planewise.locks import claim_folder
from planewise.own_exams.heart_bundles import (
    SEGMENTS,
    STRUCTURES,
    findings_of,
    mask_file,
    no_short_axes,
    private_datalist,
    slices_of,
)
from planewise.own_exams.load_bundle import bundle_and_weights
from planewise.own_exams.provenance import Provenance, made_by
from planewise.preprocessing.exam_name import exam_of, volume_name
from planewise.reports.tables import write_json
from planewise.words import some_of

#: File in the results folder that records the weights of its masks.
RECORD = "segmentation.json"
#: Number of exams that an error message lists.
_NAMED = 10


@dataclass(frozen=True)
class SegmentedDatalist:
    """Output of `segment_datalist`.

    Attributes:
        datalist: path of the new datalist.
        masks: folder of the masks.
        exams: number of exams that have masks.
        images: number of segmented volumes, including those of an earlier run.
        kept: number of these volumes that an earlier run segmented.
        left_out: maps the hash of each exam whose masks are not used to the reasons.
        findings: what was found out about exams; their subjects name them.
        note: sentence on the weights that made the masks.
    """

    datalist: Path
    masks: Path
    exams: int
    images: int
    kept: int
    left_out: Mapping[str, Sequence[Finding]]
    findings: Sequence[Finding]
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
    reason. Masks of an earlier run with the same weights are kept.

    Args:
        path: datalist of the short axis.
        output: folder for the masks and the new datalist.
        weights: weights of the bundle; None uses the shipped weights.
        min_obliquity: see `segment_exams`.
        progress: called with (volumes done, volumes in all).

    Raises:
        InputError: the datalist shows another view, there are no weights, ``output`` contains masks of other weights,
            the bundle refuses its input, or no exam has a plausible mask.
    """
    keep_quiet()
    path, output = path.expanduser().resolve(), output.expanduser().resolve()
    found, limit = _inputs(path), SHORT_AXIS_OBLIQUITY if min_obliquity is None else min_obliquity
    bundle, used = bundle_and_weights(SEGMENTS, weights)
    provenance = Provenance.of(bundle, used)
    _claim(output, provenance)
    segmenter = _Segmenter(bundle, {"weights": used, "min_obliquity": limit}, output, progress)
    refused = no_short_axes(found, limit, straight=True)
    inputs = [item for item in found if exam_of(item) not in refused]
    kept, findings, unread = segmenter.complete(inputs)
    left_out = refused | {exam: [why] for exam, why in unread.items()}
    findings += [_of_exam(found, item) for item in inputs for found in findings_of(item)]
    # without stacks of recognised hearts, all of the files may have lost their orientation
    hearts = any(isinstance(item["image"], list) for item in inputs)
    straight = no_short_axes(inputs, limit, straight=False) if hearts else {}
    if other := [exam for exam in straight if exam not in left_out]:
        names = f"exam{'s' * (len(other) > 1)} {some_of(other)}"
        findings.append(finding("orientation-lost", names, plane="axial, coronal or sagittal"))
    made = [item for item in inputs if exam_of(item) not in left_out]
    for item in made:
        if problem := mask_problem(segmenter.mask(item), STRUCTURES):
            left_out.setdefault(exam_of(item), [problem.about(str(item.get("phase", "")))])
    labels: dict[tuple, dict[str, object]] = {}
    for item in made:
        if exam_of(item) in left_out:
            continue
        mask = {"label": str(segmenter.mask(item)), "label_origin": PREDICTED}
        slices = item["image"] if isinstance(item["image"], list) else None
        if slices is None:
            labels[_place(item)] = mask
        # the masks' slices follow the order of the images given to the bundle
        for depth, entry in enumerate(slices or ()):
            labels[_place(entry)] = mask | {"label_frame": depth}
    exams = {exam_of(item) for item in found}
    if not labels:
        told = "; ".join(f"{exam}: {said(why)}" for exam, why in list(left_out.items())[:_NAMED])
        look = f"; look at {segmenter.masks}, and give weights trained on such images (--weights)" if inputs else ""
        raise InputError(f"no exam has a mask that may be a heart ({told}){look}")
    written = write_datalist(_relabelled(path, labels, left_out), output / "datalist.json")
    note = str(made_by([("masks", provenance)], "the error of these masks on patients"))
    with_masks, findings = len(exams - left_out.keys()), list(dict.fromkeys(findings))
    return SegmentedDatalist(written, segmenter.masks, with_masks, len(made), kept, left_out, findings, note)


def _of_exam(found: Finding, item: Mapping[str, Any]) -> Finding:
    """A finding with its exam in the subject."""
    return found.about(", ".join(filter(None, [f"exam {exam_of(item)}", found.subject])))


class _Segmenter:
    """Runs the bundle on the images of a datalist that have no mask yet."""

    def __init__(
        self,
        bundle: Path,
        settings: Mapping[str, object],
        output: Path,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.bundle = bundle
        self.output, self.masks = output, output / "masks"
        self.settings = {**settings, "output_dir": self.masks, "section": "all", "phases": "all"}
        self.progress = progress or (lambda done, total: None)

    def mask(self, item: Mapping[str, Any]) -> Path:
        return mask_file(self.masks, volume_name(item))

    def _clear(self, item: Mapping[str, Any]) -> list[Finding]:
        """Delete the mask of an image, or rename it if a person changed it, which is a finding."""
        mask = self.mask(item)
        if is_corrected(mask):
            return [_of_exam(set_aside(mask, ".nii.gz"), item)]
        mask.unlink(missing_ok=True)
        return []

    def complete(self, inputs: Sequence[Mapping[str, Any]]) -> tuple[int, list[Finding], dict[str, Finding]]:
        """Segment the images without a mask.

        Returns:
            The number of existing masks, findings on masks that were kept, and the exams that the bundle cannot read,
            with the reasons.
        """
        lacking = {exam_of(item) for item in inputs if not _is_mask_of(self.mask(item), item)}
        # an exam is segmented as a whole, because its cycle follows from the names of all its phases
        todo = [item for item in inputs if exam_of(item) in lacking]
        kept = len(inputs) - len(todo)
        findings = [found for item in todo for found in self._clear(item)]
        unread: Mapping[str, Finding] = {}
        try:
            if todo:
                unread = self._run(todo, self._tell(inputs), len(inputs))
        except NoneReadable as error:
            unread = error.refused
        self._tell(inputs)
        # without one of its phases, an exam has no cycle, so its other masks are removed
        for item in inputs:
            if exam_of(item) in unread:
                findings += self._clear(item)
        return kept, findings, dict(unread)

    def _tell(self, inputs: Sequence[Mapping[str, Any]]) -> int:
        """Report and return the number of inputs that have a mask."""
        done = sum(self.mask(item).is_file() for item in inputs)
        self.progress(done, len(inputs))
        return done

    def _run(self, todo: Sequence[Mapping[str, Any]], done: int, total: int) -> dict[str, Finding]:
        with private_datalist({"training": slices_of(todo)}) as datalist:
            settings = {**self.settings, "input": datalist}
            counted = itertools.count(done + 1)
            return run_inference(self.bundle, settings, watch=lambda: self.progress(next(counted), total))


def _inputs(path: Path) -> list[dict[str, Any]]:
    """The volumes of a datalist, from all sections and phases, in the form that the bundle takes.

    Raises:
        InputError: the volumes show another view, or two of them have the same name.
    """
    if not path.exists():
        raise InputError(
            f"there is no {path}; EXAM must be a datalist: make one with `planewise index FOLDER -o {path.name}`"
        )
    header = read_datalist(path).get("planewise") or {}
    if header.get("stack", "sax") != "sax":
        raise InputError(
            f"the images of {path} show {header['stack']!r}, but hearts are segmented in the short axis (sax); "
            "index the exams with `planewise index FOLDER`"
        )
    inputs = find_inputs(path, "all", "all", left_out=[])
    name, count = Counter(map(volume_name, inputs)).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"{count} images of the datalist share the name {name}, and so would their masks; index the folder "
            "again, or keep only one of them"
        )
    return inputs


def _claim(output: Path, provenance: Provenance) -> None:
    """Reserve a folder for one process, and for the masks of one weights file.

    Raises:
        InputError: the folder is in use, cannot be written to, or contains masks of other weights.
    """
    claim_folder(output)
    record = {"bundle": provenance.bundle, "weights": provenance.sha256}
    file = output / RECORD
    known = None
    with suppress(InputError):
        known = read_json(file)
    if known != record and (output / "masks").is_dir() and any((output / "masks").iterdir()):
        raise InputError(
            f"{output / 'masks'} contains masks from other weights; name another folder (-o), or remove that one"
        )
    write_json(file, record)


def _is_mask_of(mask: Path, item: Mapping[str, Any]) -> bool:
    """Whether a file contains the complete mask of an image: it must not be truncated, nor belong to an exam with other
    slices."""
    try:
        file = open_nifti(mask)
        shape = np.asarray(file.dataobj).shape
        if isinstance(item["image"], list):
            depth, affine = len(item["image"]), grid_of_slices(np.array([entry["affine"] for entry in item["image"]]))
        else:
            image = open_nifti(item["image"])
            depth, affine = (*image.shape, 1)[2], image.affine
    except UNREADABLE:
        return False
    apart = np.abs((file.affine - written_affine(affine, shape))[:3, [0, 1, 3]]).max()
    return len(shape) == 3 and shape[2] == depth and bool(apart <= SAME_GRID)


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
