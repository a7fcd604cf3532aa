"""Find the short-axis stacks that `planewise plan` and `planewise segment` use, load them, and hand them to a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from planewise.engines import Inference
from planewise.errors import EXAM, InputError, refuse_missing
from planewise.evaluation.plan_views import slice_affines
from planewise.exams import find_inputs
from planewise.exams.volumes import case_and_phase
from planewise.files.nifti import UNREADABLE, is_nifti, open_nifti
from planewise.findings import FLAG, Finding, finding, from_text, of_level, said, to_text
from planewise.geometry.planes import stack_obliquity
from planewise.geometry.tolerances import NO_ORIENTATION, SHORT_AXIS_OBLIQUITY
from planewise.preprocessing import LoadStackd
from planewise.preprocessing.exam_name import exam_of, loaded_name, stem
from planewise.preprocessing.load_stack import slice_thickness
from planewise.preprocessing.views import wrong_direction

#: Number of exams that an error message lists.
_MOST_NAMED = 10
#: For `switched`.
OFF = {"_disabled_": True}


@dataclass
class LoadedStack:
    """A loaded stack."""

    item: Mapping[str, Any]
    """its item of `find_inputs`"""
    name: str
    """name of its results, which begins with the exam's hash"""
    image: MetaTensor
    """``(i, j, slices)``, with its affine"""
    affines: torch.Tensor
    """affines of the slices, RAS+, mm"""

    @property
    def acquired(self) -> Mapping[str, Mapping[str, Sequence[float]]]:
        """Plane of each view of the exam."""
        return self.item["image"][0].get("planes", {}) if isinstance(self.item["image"], list) else {}

    @property
    def thickness(self) -> float:
        """See `planewise.preprocessing.load_stack.slice_thickness`."""
        return slice_thickness(self.item["image"])


def load_stack(item: Mapping[str, Any], loaded: Mapping[str, Any] | None = None) -> LoadedStack:
    """Read the stack of an item of `find_inputs`, unless a run of the segmentation bundle has ``loaded`` it."""
    if loaded is None:
        loaded = LoadStackd("image", remarks=False)(item)
        image = loaded["image"]
    else:
        image = loaded["native_image"][0]
    affines = slice_affines(image[None], loaded.get("slice_affines"))
    return LoadedStack(item, loaded_name(image), image, affines)


class LeftOut(NamedTuple):
    """An exam that cannot be used: the reasons, and its items."""

    why: Sequence[Finding]
    items: Sequence[Mapping[str, Any]]


def stacks_in(
    path: Path,
    min_obliquity: float | None = None,
    straight: bool = False,
    skipped: dict[Finding, int] | None = None,
    workers: int = 1,
) -> tuple[list[dict[str, Any]], dict[str, LeftOut]]:
    """All phases of the stacks in a folder, a volume or a datalist that may be the short axis of a heart, each with the hash
    of its exam; and the exams that are left out, because they cannot be one or have only single slices.

    Args:
        path: the folder, volume or datalist.
        min_obliquity: see `no_short_axes`.
        straight: whether to accept volumes exactly along the axes, such as files without an orientation (ACDC). They get a
            flag, unless ``min_obliquity`` is 0.
        skipped, workers: see `planewise.exams.find_stacks`.

    Raises:
        InputError: there is no stack, or none of the stacks can be a short axis.
    """
    refuse_missing(path, EXAM)
    unrecognised: list[dict[str, Any]] = []
    inputs = find_inputs(path, "all", left_out=unrecognised, skipped=skipped, workers=workers)
    found = [of_case(item) for item in inputs]
    left_out = {item["exam"]: LeftOut(from_text(item["why_not"]), [item]) for item in unrecognised}
    if is_nifti(path) and path.is_file():
        open_nifti(path)
    refused = no_short_axes(found, min_obliquity, straight)
    for item in found:
        if isinstance(item["image"], list) and len(item["image"]) == 1:
            refused[item["exam"]] = [finding("no-stack", least=3, most=1), *of_level(findings_of(item), FLAG)]
    if refused and all(exam_of(item) in refused for item in found):
        raise InputError(
            "no stack here can be the short axis of a heart; name the folder or the file of a short-axis series, or take the "
            f"stacks anyway with --min_obliquity 0{listed_reasons(refused)}"
        )
    for exam, why in refused.items():
        left_out[exam] = LeftOut(why, [item for item in found if exam_of(item) == exam])
    kept = [_with_header(item, min_obliquity) for item in found if exam_of(item) not in refused]
    return [{**item, "exam": exam_of(item)} for item in kept], left_out


def listed_reasons(left_out: Mapping[str, Sequence[Finding]]) -> str:
    """A line for each exam that is left out, with the reasons, for the end of an error message."""
    reasons = "".join(f"\n  exam {exam}: {said(why)}" for exam, why in list(left_out.items())[:_MOST_NAMED])
    return reasons + (f"\n  and {len(left_out) - _MOST_NAMED} more" if len(left_out) > _MOST_NAMED else "")


def of_case(item: dict[str, Any]) -> dict[str, Any]:
    """An item of `find_inputs`; a file that is named by a phase (``case_frame01``, ``case_ED``) is a phase of the exam that
    its case names, as in an index."""
    path = item["image"]
    if item.get("exam") or "time" in item or not isinstance(path, str):
        return item
    case, phase = case_and_phase(stem(Path(path)))
    whole = Path(path).with_name(case) if case else Path(path).parent
    return {**item, "exam": exam_of({"image": whole}), "phase": phase} if phase else item


def no_short_axes(
    items: Sequence[Mapping[str, Any]], min_obliquity: float | None, straight: bool
) -> dict[str, list[Finding]]:
    """Maps each exam that cannot be a heart's short axis to the reasons; a file that cannot be read has none.

    Args:
        items: from `find_inputs`.
        min_obliquity: limit of `wrong_direction`, degrees; 0 accepts any stack; None uses `SHORT_AXIS_OBLIQUITY`.
        straight: see `stacks_in`.
    """
    refused = {}
    for item in items if min_obliquity != 0 else ():
        affine = None if "why_not" in item else _affine_of(item)
        known = from_text(item.get("why_not", "[]"))
        limit = SHORT_AXIS_OBLIQUITY if min_obliquity is None else min_obliquity
        if why := known if affine is None else wrong_direction(affine, limit, straight):
            refused[exam_of(item)] = why
    return refused


def findings_of(item: Mapping[str, Any]) -> list[Finding]:
    """What was found out about an item of `find_inputs`."""
    return from_text(item.get("findings", "[]"))


def _with_header(item: dict[str, Any], min_obliquity: float | None) -> dict[str, Any]:
    """An item with a flag if its slices lie exactly along the body's axes, unless a person has said with a limit of 0 that
    the stack is a short axis."""
    found = []
    if min_obliquity != 0 and (affine := _affine_of(item)) is not None:
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


def place_of(items: Sequence[Mapping[str, Any]]) -> tuple[Path, Path]:
    """The folder that contains all images of an exam, or the file if the exam is a single file; and one of the images."""
    images = [str(entry["image"]) for entry in slices_of(items)]
    return Path(commonpath(images)), Path(images[0])


def slices_of(stacks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The entries of the files of stacks: a volume's item, or the items of a stack's slices."""
    return [entry for item in stacks for entry in (item["image"] if isinstance(item["image"], list) else [item])]


def for_bundle(stacks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Items of `find_inputs` as a bundle takes them, after `stacks_in` has judged them."""
    return [{key: item[key] for key in ("exam", "image", "phase", "time") if key in item} for item in stacks]


def switched(bundle: Path, switches: Mapping[str, Mapping[str, bool]]) -> dict[str, object]:
    """Settings of a run of a bundle's inference that change handlers and steps of its postprocessing. ``switches`` maps the
    names of their classes to arguments; `OFF` turns them off."""
    config = ConfigParser.load_config_file(str(bundle / "configs" / "inference.yaml"))
    lists = {"handlers": config["handlers"], "postprocessing#transforms": config["postprocessing"]["transforms"]}
    return {
        f"{place}#{number}#{name}": value
        for place, steps in lists.items()
        for number, step in enumerate(steps)
        for name, value in switches.get(step["_target_"].split(".")[-1], {}).items()
    }


def by_exam(stacks: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The stacks of each exam."""
    exams: dict[str, list[Mapping[str, Any]]] = {}
    for item in stacks:
        exams.setdefault(exam_of(item), []).append(item)
    return exams


def predicted(exam: str, items: Sequence[Mapping[str, Any]], run: Inference) -> list[LoadedStack]:
    """Run a segmentation bundle on the stacks of an exam; returns them as it has loaded them.

    Raises:
        InputError: a stack cannot be read.
    """
    loaded: list[LoadedStack] = []
    refused = run(for_bundle(items), lambda found: loaded.append(load_stack(items[len(loaded)], found)))
    if refused:
        raise InputError(refused[exam], f"exam {exam}")
    return loaded
