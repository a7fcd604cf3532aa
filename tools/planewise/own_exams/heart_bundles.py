"""Code that `planewise plan` and `planewise segment` share: the bundles, the stacks of a folder, and the page."""

from __future__ import annotations

import json
import logging
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from os.path import commonpath
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from planewise.early_checks import EXAM, refuse_missing
from planewise.errors import InputError
from planewise.evaluation.plan_views import slice_affines
from planewise.exams import find_inputs
from planewise.exams.cardiac_views import KNEE
from planewise.exams.input_stacks import InputStack
from planewise.exams.volumes import case_and_phase
from planewise.files.atomic_write import atomic_write
from planewise.files.masks import HEART_STRUCTURES
from planewise.files.nifti import UNREADABLE, is_nifti, open_nifti, two_geometries
from planewise.files.predicted_masks import CORRECTED, MASK
from planewise.findings import FLAG, Finding, finding, from_text, of_level, said, sentences, to_text
from planewise.geometry.stack_direction import stack_obliquity
from planewise.geometry.tolerances import NO_ORIENTATION, SHORT_AXIS_OBLIQUITY
from planewise.own_exams.exam_page import ShownExam, exam_page
from planewise.own_exams.provenance import Note
from planewise.preprocessing import LoadSliced, LoadStackd
from planewise.preprocessing.exam_name import exam_of, loaded_name, stem, volume_name
from planewise.preprocessing.load_stack import slice_thickness
from planewise.preprocessing.require_view import wrong_direction

logger = logging.getLogger(__name__)

PLANS, SEGMENTS = "pretext_cardiac_multitask", "downstream_cardiac_sax_segmentation"
#: The bundle that plans the views of a knee.
KNEES = "pretext_knee_multitask"
#: Label values of the segmentation bundle.
STRUCTURES = HEART_STRUCTURES["sax"]
#: Name of the page of an exam or an archive, in its folder.
PAGE = "index.html"
#: Number of exams that an error message lists.
_NAMED = 10


@dataclass(frozen=True)
class MadePage:
    """Results for an exam.

    Attributes:
        name: the exam's hash.
        page: the exam's page; deleted if the call had no output folder.
        lines: lines about the results, for a terminal.
        item: the item of `find_inputs` for the planned stack, or for the stack at end-diastole.
        files: every file that was written, the page first; deleted if the call had no output folder.
    """

    name: str
    page: Path
    lines: Sequence[str]
    item: Mapping[str, Any]
    files: Sequence[Path]

    @cached_property
    def stack(self) -> LoadedStack:
        """Image and affines, read again from the exam's files."""
        return load_stack(self.item)


@contextmanager
def output_folder(given: str | Path | None) -> Iterator[Path]:
    """The absolute folder for results: the given one, or a temporary one."""
    if given is not None:
        yield Path(given).expanduser().resolve()
        return
    with tempfile.TemporaryDirectory(prefix="planewise-") as folder:
        yield Path(folder).resolve()


@dataclass
class LoadedStack:
    """A loaded stack.

    Attributes:
        name: name of its results, which begins with the exam's hash.
        image: ``(i, j, slices)``, with its affine.
        affines: affines of the slices, RAS+, mm.
        acquired: plane of each view of the exam.
        views: image ``(i, j)`` and affine of each view whose image can be read.
        thickness: see `planewise.preprocessing.load_stack.slice_thickness`.
    """

    name: str
    image: MetaTensor
    affines: torch.Tensor
    acquired: Mapping[str, Mapping[str, Sequence[float]]]
    views: Mapping[str, tuple[np.ndarray, np.ndarray]]
    thickness: float = 0.0


def stacks_in(
    path: Path,
    phases: str = "ed",
    min_obliquity: float | None = None,
    straight: bool = False,
    skipped: dict[Finding, int] | None = None,
) -> tuple[list[dict[str, Any]], dict[str, LeftOut]]:
    """The stacks in a folder, a volume or a datalist that may be the short axis of a heart, found by `find_inputs`.

    If there are several exams, those that cannot be a short axis or have only single slices are left out.

    Args:
        path: the folder, volume or datalist.
        phases: see `find_inputs`.
        min_obliquity: see `no_short_axes`; None uses `SHORT_AXIS_OBLIQUITY`.
        straight: whether to accept volumes exactly along the axes, such as files without an orientation (ACDC). They get a
            flag, unless ``min_obliquity`` is 0.
        skipped: see `planewise.exams.find_stacks`.

    Returns:
        The stacks, each with the hash of its exam, and the exams that are left out.

    Raises:
        InputError: there is no stack, or none of the stacks can be a short axis.
    """
    refuse_missing(path, EXAM)
    limit = SHORT_AXIS_OBLIQUITY if min_obliquity is None else min_obliquity
    unrecognised: list[InputStack] = []
    found = [of_case(item) for item in find_inputs(path, phases, left_out=unrecognised, skipped=skipped)]
    left_out = {
        stack.exam: LeftOut.of(stack.why_not, [{"image": stack.slices, "exam": stack.exam}]) for stack in unrecognised
    }
    if is_nifti(path) and path.is_file():
        open_nifti(path)
    refused = no_short_axes(found, limit, straight)
    for item in found:
        if isinstance(item["image"], list) and len(item["image"]) == 1:
            refused[item["exam"]] = [finding("no-stack", least=3, most=1), *of_level(findings_of(item), FLAG)]
    if refused and all(exam_of(item) in refused for item in found):
        raise InputError(_none(path, refused))
    for exam, why in refused.items():
        left_out[exam] = LeftOut.of(why, [item for item in found if exam_of(item) == exam])
    kept = [_with_header(item, limit) for item in found if exam_of(item) not in refused]
    return [{**item, "exam": exam_of(item)} for item in kept], left_out


def _none(path: Path, refused: Mapping[str, Sequence[Finding]]) -> str:
    """The message if no exam can be used."""
    reasons = "".join(f"\n  exam {exam}: {said(why)}" for exam, why in list(refused.items())[:_NAMED])
    more = f"\n  and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
    knees = {exam for exam, why in refused.items() if finding("series-of-organ", organ=KNEE) in why}
    single = {exam for exam, why in refused.items() if why[0].code == "no-stack" and why[0]["most"] == 1}
    # a knee has no short axis, however it is taken
    anyway = "" if knees | single == refused.keys() else ", or take the stacks anyway with --min_obliquity 0"
    instead = (
        "\n`planewise plan` and `planewise segment` are for hearts. planewise has no segmentation of knees; to plan the "
        f"views of a knee, run in the folder bundles/{KNEES}: "
        f"python -m monai.bundle run --config_file configs/inference.yaml --input {shlex.quote(str(path))} --output_dir OUT"
    )
    return (
        "no stack here can be the short axis of a heart; name the folder or the file of a short-axis series"
        f"{anyway}{reasons}{more}{instead if knees else ''}"
    )


def of_case(item: dict[str, Any]) -> dict[str, Any]:
    """An item of `find_inputs`; a file that is named by a phase (``case_frame01``, ``case_ED``) is a phase of the exam that
    its case names, as in an index."""
    path = item["image"]
    if item.get("exam") or "time" in item or not isinstance(path, str):
        return item
    case, phase = case_and_phase(stem(Path(path)))
    whole = Path(path).with_name(case) if case else Path(path).parent
    return {**item, "exam": exam_of({"image": whole}), "phase": phase} if phase else item


def no_short_axes(items: Sequence[Mapping[str, Any]], min_obliquity: float, straight: bool) -> dict[str, list[Finding]]:
    """Maps each exam that cannot be a heart's short axis to the reasons; a file that cannot be read has none.

    Args:
        items: from `find_inputs`.
        min_obliquity: limit of `why_no_short_axis`, degrees; 0 accepts any stack.
        straight: see `stacks_in`.
    """
    refused = {}
    for item in items if min_obliquity > 0 else ():
        affine = None if "why_not" in item else _affine_of(item)
        known = from_text(item.get("why_not", "[]"))
        if why := known if affine is None else wrong_direction(affine, min_obliquity, straight):
            refused[exam_of(item)] = why
    return refused


def findings_of(item: Mapping[str, Any]) -> list[Finding]:
    """What was found out about an item of `find_inputs`."""
    return from_text(item.get("findings", "[]"))


def _with_header(item: dict[str, Any], min_obliquity: float) -> dict[str, Any]:
    """An item with what its NIfTI header says against it: two geometries, or slices exactly along the body's axes, unless a
    person has said with a limit of 0 that the stack is a short axis."""
    found = []
    if is_nifti(str(item["image"])):
        with suppress(*UNREADABLE):  # the bundle reports it
            found += two_geometries(item["image"])
    if min_obliquity > 0 and (affine := _affine_of(item)) is not None:
        obliquity, across = stack_obliquity(affine)
        found += [finding("orientation-lost", plane=across)] if obliquity < NO_ORIENTATION else []
    return item | {"findings": to_text([*findings_of(item), *found])} if found else item


def _affine_of(item: Mapping[str, Any]) -> torch.Tensor | None:
    """The affine of a volume, ``(1, 4, 4)``; None if it cannot be read, which the bundle reports, and for DICOM files, which
    were already recognised by their geometry and names."""
    with suppress(*UNREADABLE):
        if not isinstance(item["image"], list):
            return torch.from_numpy(np.asarray(open_nifti(item["image"]).affine, dtype=np.float64))[None]
    return None


@dataclass(frozen=True)
class Summary:
    """An exam in the table of an archive.

    Attributes:
        values: maps each column to its value; None if unknown.
        words: the main values in a few words, for the terminal.
        findings: everything that was found out about the exam and its results.
        severity: larger is worse.
        not_a_heart: True if the results cannot belong to a heart, which is worse than any severity.
        flagged: keys of the values that the flags concern, which are marked.
        corrected: keys of the values that come from masks that a person corrected, which are marked.
    """

    values: Mapping[str, object]
    words: str
    findings: Sequence[Finding]
    severity: float
    not_a_heart: bool = False
    flagged: Sequence[str] = ()
    corrected: Sequence[str] = ()

    @property
    def flags(self) -> list[Finding]:
        """Problems that a person should look at."""
        return [found for found in dict.fromkeys(self.findings) if found.level == FLAG or found.marks]

    @property
    def remarks(self) -> list[Finding]:
        """Further findings, for the table as CSV."""
        return [found for found in dict.fromkeys(self.findings) if found not in self.flags]

    @property
    def shown(self) -> list[str]:
        """What the archive's page says about the exam."""
        return sentences([*self.flags, *self.of("corrected-mask"), *self.of("no-dicom")])

    def of(self, code: str) -> list[Finding]:
        """The findings with a code."""
        return [found for found in self.findings if found.code == code]


@dataclass(frozen=True)
class ExamWork:
    """The work of `planewise plan` or `planewise segment` on the exams of a path.

    Attributes:
        command: ``plan`` or ``segment``.
        stacks: the stacks that were found, from `stacks_in`.
        settings: everything else that determines the results (the weights' checksums and the options), as plain values.
        left_out: exams that were found but cannot be used.
        run: function that takes stacks and a folder, and makes the stacks' results in the folder; it can be called again with
            other stacks.
        summary: function that takes a finished exam and returns its row in the table of an archive.
        note: note on the weights that make the results.
        skipped: number of files that were not read, for each reason.
        title, explained: title of an archive's page, and what its numbers mean.
    """

    command: str
    stacks: Sequence[Mapping[str, Any]]
    settings: Mapping[str, object]
    left_out: Mapping[str, LeftOut]
    run: Callable[[Sequence[Mapping[str, Any]], Path], list[Any]]
    summary: Callable[[Any], Summary]
    note: Note
    skipped: Mapping[Finding, int]
    title: str
    explained: str

    @property
    def exams(self) -> dict[str, list[Mapping[str, Any]]]:
        """The stacks of each exam, under the name of its results."""
        exams: dict[str, list[Mapping[str, Any]]] = {}
        for item in self.stacks:
            exams.setdefault(item.get("exam") or volume_name(item), []).append(item)
        return exams

    def run_all(self, output: Path) -> list[Any]:
        """The results of all stacks; exams that are left out are logged."""
        for exam, left in self.left_out.items():
            logger.warning("exam %s is left out: %s", exam, said(left.why))
        return self.run(self.stacks, output)


@dataclass(frozen=True)
class LeftOut:
    """An exam that cannot be used.

    Attributes:
        why: the reasons.
        folder: folder of its files.
        image: one of its files; None if unknown.
    """

    why: Sequence[Finding]
    folder: Path
    image: Path | None = None

    @classmethod
    def of(cls, why: Sequence[Finding], items: Sequence[Mapping[str, Any]]) -> LeftOut:
        """Leave out an exam, given its items."""
        return cls(why, *place_of(items))


def place_of(items: Sequence[Mapping[str, Any]]) -> tuple[Path, Path]:
    """The folder that contains all images of an exam, or the file if the exam is a single file; and one of the images."""
    images = [str(entry["image"]) for entry in slices_of(items)]
    return Path(commonpath(images)), Path(images[0])


def slices_of(stacks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Items of a datalist: each volume unchanged, and each stack as its slices, with the exam's hash and the slice's
    rank."""
    return [
        entry
        for item in stacks
        for entry in (
            [{"exam": item["exam"], "slice": rank, **entry} for rank, entry in enumerate(item["image"])]
            if isinstance(item["image"], list)
            else [item]
        )
    ]


@contextmanager
def private_datalist(content: Mapping[str, Any]) -> Iterator[Path]:
    """A temporary datalist. It contains paths, so only its owner can read it, and it is not among the results."""
    handle, name = tempfile.mkstemp(suffix=".json")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
        yield Path(name)
    finally:
        with suppress(OSError):
            os.unlink(name)


def without(bundle: Path, *parts: str) -> dict[str, object]:
    """Settings of a run of a bundle's inference that turn off handlers and steps of its postprocessing.

    Args:
        bundle: the bundle's folder.
        parts: names of their classes.
    """
    config = ConfigParser.load_config_file(str(bundle / "configs" / "inference.yaml"))
    lists = {"handlers": config["handlers"], "postprocessing#transforms": config["postprocessing"]["transforms"]}
    return {
        f"{place}#{number}#_disabled_": True
        for place, steps in lists.items()
        for number, step in enumerate(steps)
        if step["_target_"].split(".")[-1] in parts
    }


def load_stack(item: Mapping[str, Any]) -> LoadedStack:
    """Read a stack.

    Args:
        item: item from `find_inputs`.
    """
    first = item["image"][0] if isinstance(item["image"], list) else {}
    loaded = LoadStackd("image", remarks=False)(item)
    image = loaded["image"]
    affines = slice_affines(image[None], loaded.get("slice_affines"))
    views = {}
    for view, entry in item.get("views", {}).items():
        with suppress(InputError):  # if the image cannot be read, the page does not show this view
            shown = LoadSliced("image")(entry)["image"]
            views[view] = shown[0, :, :, 0].numpy(), shown.affine.numpy()
    thickness = slice_thickness(item["image"])
    return LoadedStack(loaded_name(image), image, affines, first.get("planes", {}), views, thickness)


def mask_file(folder: Path, name: str) -> Path:
    """The path at which the segmentation bundle writes the label map of a stack."""
    return folder / name / f"{name}{MASK}.nii.gz"


def read_mask(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The label map ``(i, j, slices)`` that the segmentation bundle wrote for a stack, and its affine; None if there is
    no label map.
    """
    file = mask_file(folder, name)
    if not file.is_file():
        return None
    mask = open_nifti(file)
    return np.asarray(mask.dataobj).astype(np.uint8), np.asarray(mask.affine)


def written_in(folder: Path) -> list[Path]:
    """The files in a folder, its page first, without corrected masks."""
    files = (file for file in folder.iterdir() if file.is_file() and CORRECTED not in file.name)
    return sorted(files, key=lambda file: (file.name != PAGE, file.name))


def write_page(folder: Path, shown: ShownExam) -> Path:
    """Write ``index.html`` of an exam."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / PAGE
    with atomic_write(page) as part:
        part.write_text(exam_page(shown), encoding="utf-8")
    return page


def in_sentences(refused: Mapping[str, Finding]) -> list[str]:
    """What a run says about the exams that it refused; `ExamWork.note` names the weights."""
    return [f"Exam {exam} is left out: {why}." for exam, why in refused.items()]


def read_exams(stacks: Sequence[Mapping[str, Any]], refused: Mapping[str, Finding]) -> list[Mapping[str, Any]]:
    """The stacks of the exams that a run did not refuse.

    Raises:
        InputError: the run refused all exams.
    """
    if read := [item for item in stacks if exam_of(item) not in refused]:
        return read
    raise InputError("; ".join(f"exam {exam}: {why}" for exam, why in refused.items()))


def text(value: Any, digits: int = 1, unit: str = "") -> str:
    """A number as the tables show it, "-" if unknown."""
    return "-" if value is None or not np.isfinite(value) else f"{value:.{digits}f}{unit}"
