"""Masks that people add as NIfTI: find them, match them with the slices and phases of exams, and check them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from nibabel.orientations import inv_ornt_aff

from planewise.errors import InputError
from planewise.exams.exam import Exam
from planewise.exams.refusals import ODD_PATH
from planewise.exams.stack import Slice, Stack
from planewise.exams.tables import KnownNames, exam_names
from planewise.exams.volumes import SEVERAL_MASKS, case_and_phase, mask_on_grid
from planewise.files.datalists import PREDICTED
from planewise.files.masks import (
    CORRECTED,
    IMAGE,
    MASK,
    corrected_stems,
    is_predicted,
    mask_doubts,
    oldest_first,
    read_mask,
    unknown_values,
    why_unusable,
)
from planewise.files.names import common_name, files_below, nifti_files, stem
from planewise.files.nifti import SAME_GRID, corners_apart, grid_of_slices, open_nifti, written_affine
from planewise.findings import Finding, finding
from planewise.phases import named_phases
from planewise.words import is_text, some_of

#: Keys of an item that name or describe its mask.
OF_A_MASK = "label", "label_frame", "label_axes", "label_map", "label_origin", "unknown_labels"


def mask_files(folder: Path) -> list[Path]:
    """The NIfTI files below a folder, without those that `planewise segment` and `plan` write next to a mask. Masks that
    people corrected, in place or in another file, come last, the newest at the end, because a later mask replaces an
    earlier one.

    Raises:
        InputError: there is no such folder, or no mask in it.
    """
    if not folder.is_dir():
        raise InputError(f"--labels {folder}: there is no such folder")
    found = nifti_files(map(Path, files_below(folder)))
    names = {(path.parent, stem(path)) for path in found}
    ours = {
        (home, name.removesuffix(MASK) + ending) for home, name in names for ending in (IMAGE, "_lines", "_heatmaps")
    }
    found = [path for path in found if (path.parent, stem(path)) not in ours]
    if not found:
        raise InputError(
            f"--labels {folder}: no NIfTI file (.nii, .nii.gz) in it; convert a segmentation in 3D Slicer, or DICOM SEG with "
            "dcmqi (segimage2itkimage)"
        )
    corrected = [path for path in found if CORRECTED in path.name]
    return [path for path in found if CORRECTED not in path.name] + oldest_first(corrected)


def not_corrected_elsewhere(masks: Sequence[Path]) -> tuple[list[Path], list[tuple[str, Finding]]]:
    """The masks to use; and those that a person corrected in another file of their folder, each with this reason."""
    kept, unmatched = [], []
    # each folder is listed once, because it may contain thousands of masks
    corrected = {folder: [*folder.glob(f"*{CORRECTED}*")] for folder in {path.parent for path in masks}}
    for path in masks:
        own = [file for file in corrected[path.parent] if file.name.startswith(corrected_stems(path))]
        if own and stem(path).endswith(MASK):
            unmatched.append((path.name, finding("mask-not-used", kind="corrected", by=own[0].name)))
        else:
            kept.append(path)
    return kept, unmatched


def mask_name(path: Path) -> tuple[str, str | None]:
    """The case and the phase in a mask's name: ``1234_frame08_gt.nii.gz`` is ``("1234", "frame08")``."""
    plain = re.sub(rf"{CORRECTED}(_\d+)?$", "", stem(path))
    plain = re.sub(r"[_-](gt|seg|segmentation|labels?|masks?)$", "", plain, flags=re.IGNORECASE)
    if share := re.search(r"[_-](phase\d\d)$", plain):
        return plain[: share.start()], share[1]
    return case_and_phase(plain)


def read_grid(path: Path, renamed: Mapping[str, int] | None = None) -> tuple[tuple[int, ...], np.ndarray] | Finding:
    """The shape and the affine of a NIfTI mask, or why it cannot be used. The voxels are read, too, because a truncated mask,
    or one with values that cannot be labels, must not replace another one."""
    try:
        mask, affine = read_mask(path, renamed)
    except InputError as error:
        return error.reason
    if mask.ndim != 3:
        return finding("nifti-image", kind="dimensions", count=mask.ndim, wanted="three, for one phase")
    return mask.shape, affine


def match_mask(
    mask_shape: tuple[int, ...], mask_affine: np.ndarray, slices: Sequence[Slice], shape: tuple[int, int]
) -> tuple[list[tuple[int, int]], list[list[int]] | Finding]:
    """Match the slices of a mask (`read_grid`), whose third axis is the stack, to the slices of a stack with ``shape`` pixels
    along i and j.

    Returns:
        Pairs (slice of the stack, slice of the mask), and the argument of `nibabel.orientations.apply_orientation` that gives
        the mask the image's in-plane axes (``[[0, 1], [1, 1]]`` is no change), because masks drawn on converted images are
        often mirrored. If the mask does not fit: no pairs, and the reason.
    """
    written = (*shape, len(slices))
    if tuple(mask_shape) == written:  # on the grid that planewise writes, slices are matched by number
        grid = written_affine(grid_of_slices(np.array([entry.affine for entry in slices])), written)
        if corners_apart(written, grid, mask_affine) <= SAME_GRID:
            return [(rank, rank) for rank in range(len(slices))], [[0, 1], [1, 1]]
    corners = np.array([[i, j, 0, 1] for i, j in product(*((0, size - 1) for size in shape))])
    places = np.array([(corners @ entry.affine.T)[:, :3] for entry in slices])
    tolerance, closest = max(SAME_GRID, 0.1 * np.linalg.norm(mask_affine[:3, 0])), np.inf
    for first, signs in product((0, 1), product((1, -1), repeat=2)):
        turn = np.array([[first, signs[0]], [1 - first, signs[1]], [2, 1]])
        if (mask_shape[first], mask_shape[1 - first]) != tuple(shape):
            continue
        grid = mask_affine @ inv_ornt_aff(turn, mask_shape)
        own = (corners @ grid.T)[:, :3] + np.arange(mask_shape[2])[:, None, None] * grid[:3, 2]
        # (slices of the stack, slices of the mask), the largest distance of a corner, mm
        apart = np.linalg.norm(places[:, None] - own, axis=-1).max(axis=-1)
        if pairs := np.argwhere(apart <= tolerance).tolist():
            return [(rank, depth) for rank, depth in pairs], turn[:2].tolist()
        closest = min(closest, apart.min())
    if np.isfinite(closest):
        return [], finding("grid-differs", kind="place", mm=round(float(closest), 1))
    return [], finding("grid-differs", kind="shape", own=mask_shape[:2], wanted=shape)


def _add_to_volume(
    path: Path, items: Sequence[dict], turned: bool, renamed: Mapping[str, int] | None
) -> Finding | None:
    """Assign a mask to the item of a whole volume; returns why it is not used."""
    if len(items) > 1:
        return finding("name-unusable", kind="images", count=len(items))
    (item,) = items
    image = open_nifti(item["image"] if isinstance(item["image"], str) else item["image"][0])
    problem, axes = mask_on_grid(path, image.shape[:3] if "time" in item else image.shape, image.affine, turned)
    if not (problem := problem or why_unusable(path, renamed)):
        _set(item, path, axes)
    return problem


def _add_to_exam(
    path: Path, named: Sequence[Exam], by_place: Mapping[tuple, dict], renamed: Mapping[str, int] | None
) -> Finding | None:
    """Assign a mask to the items of one of the exams of its name; returns why it, or a part of it, is not used."""
    if isinstance(grid := read_grid(path, renamed), Finding):
        return grid
    stacks = [exam.main_stack for exam in named]
    matches = [match_mask(*grid, stack.slices, (stack.columns, stack.rows)) for stack in stacks]
    # a mask that fits several exams, such as those of one patient, would label the first one
    fitting = [(exam, *match) for exam, match in zip(named, matches, strict=True) if match[0]]
    if len(fitting) > 1:
        return finding("name-unusable", kind="exams", count=len(fitting), names=[exam.name for exam, *_ in fitting])
    if not fitting:
        return matches[-1][1] if matches else finding("name-unusable", kind="unknown")
    ((exam, pairs, axes),) = fitting
    case, phase = mask_name(path)
    rank = 0 if phase is None and case == exam.name else _phase_rank(phase, exam.main_stack)
    if rank is None:
        return finding("mask-not-used", kind="unnamed", example=f"{case}_frame08")
    if rank >= (cycle := exam.main_stack.cycle):
        return finding("mask-not-used", kind="beyond", phase=phase, count=cycle)
    slices = exam.main_stack.slices
    for place, depth in pairs:
        item = by_place.get((exam.name, place, slices[place].phase(min(rank, len(slices[place].phases) - 1))))
        if len(slices[place].phases) == cycle and item is not None:
            _set(item, path, [] if axes == [[0, 1], [1, 1]] else axes)
            item["label_frame"] = depth
    lacking = [place + 1 for place, _ in pairs if len(slices[place].phases) != cycle]
    return finding("mask-not-used", kind="lacking", slices=lacking) if lacking else None


def _set(item: dict, path: Path, axes: list[list[int]]) -> None:
    """Give an item a mask. What is known of its mask so far, such as the data set's numbers of the structures, does not hold
    for this one."""
    _remove([item])
    item |= {"label": str(path)} | ({"label_axes": axes} if axes else {})


def add_masks(
    masks: Sequence[Path],
    exams: Sequence[Exam],
    items: list[dict],
    folder: Path,
    turned: bool = False,
    renamed: Mapping[str, int] | None = None,
) -> list[tuple[str, Finding]]:
    """Assign masks to their items, by the exam's name in the file name and by geometry.

    A mask of a cine names its phase: ``_frame08`` (counted from 1), ``_ed`` (the first), or ``_phase25`` (percent of the
    cycle, as inference names its results). A mask whose name is only the exam's hash was made by inference, for the first
    phase. ``turned`` accepts masks of whole volumes whose axes have another order or other directions; ``renamed`` is their
    label map.

    Returns:
        Masks that were not used: file name and reason.
    """
    exams = [exam for exam in exams if exam.main_stack is not None]
    by_name = KnownNames(exam_names(exam, folder) for exam in exams)
    by_place = {(item["exam"], item["slice"], item["phase"]): item for item in items if "affine" in item}
    volumes = _volumes_by_name(items)
    reasons = {path: ODD_PATH for path in masks if not is_text(str(path))}
    for path in (path for path in masks if path not in reasons):
        case, phase = mask_name(path)
        if own := volumes.get((case.lower(), (phase or "").lower())):
            why = _add_to_volume(path, own, turned, renamed)
        else:
            why = _add_to_exam(path, [exams[index] for index in by_name.find(case)], by_place, renamed)
        reasons |= {path: why} if why else {}
    used = {item.get("label") for item in items}
    reasons |= {path: SEVERAL_MASKS for path in masks if str(path) not in used and path not in reasons}
    return [(path.name, why) for path, why in reasons.items()]


def _volumes_by_name(items: Sequence[dict]) -> dict[tuple[str, str], list[dict]]:
    """The items of whole volumes by case and phase, both in lower case; inference names its results by the exam's hash."""
    volumes: dict[tuple[str, str], list[dict]] = defaultdict(list)
    by_hash: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for item in (item for item in items if "affine" not in item):
        image = item["image"]
        case, phase = mask_name(Path(image)) if isinstance(image, str) else (common_name(image), None)
        if "time" in item:
            phase = item["phase"]
            if item["time"] == 0:
                volumes[case.lower(), "ed"].append(item)
        volumes[case.lower(), (phase or "").lower()].append(item)
        own = item.get("phase")
        by_hash[item["exam"], own.lower() if isinstance(own, str) else ""].append(item)
    return volumes | {name: found for name, found in by_hash.items() if len(found) == 1}


def _phase_rank(phase: str | None, stack: Stack) -> int | None:
    """The rank of a mask's phase; None if no name or header says it."""
    most = stack.cycle
    names = [frame.phase for frame in stack.slices[0].phases]
    if phase is None:
        return 0 if most == 1 else None
    if phase in names:
        return names.index(phase)
    if phase.startswith("phase"):
        used = named_phases(most)
        return round(int(phase.removeprefix("phase")) * most / 100 / used.step) * used.step
    if phase.startswith("frame"):
        return int(phase.removeprefix("frame")) - 1
    return 0 if phase == "ED" else None


def is_unchecked(mask: Path) -> bool:
    """Whether a network predicted a mask, and no person has changed it or saved it as ``*_mask_corrected``."""
    return f"{MASK}{CORRECTED}" not in mask.name and is_predicted(mask)


def of_people(masks: Sequence[Path]) -> tuple[Sequence[Path], list[Finding]]:
    """The masks that people made, corrected or checked, with a warning that counts the others; all masks if a network made
    all of them."""
    made = [path for path in masks if not is_unchecked(path)]
    if len(made) in (0, len(masks)):
        return masks, []
    return made, [finding("masks-note", count=len(masks) - len(made), kind="predicted-left-out")]


def check_masks(
    items: Sequence[dict], label_map: Mapping[str, int] | None, whole: bool, view: str
) -> tuple[list[Finding], list[tuple[str, Finding]]]:
    """Remove masks that are no labels from items, and mark those that a network predicted. Masks of whole volumes are read
    only for a label map (`add_masks` has checked those of ``--labels``).

    Returns:
        Warnings of predicted masks and of likely mistakes; and the removed masks: file name and reason.
    """
    warnings: list[Finding] = []
    of_mask: dict[str, list[dict]] = defaultdict(list)
    for item in (item for item in items if "label" in item):
        of_mask[item["label"]].append(item)
    if predicted := {file for file in of_mask if is_unchecked(Path(file))}:
        exams = {item["exam"] for file in predicted for item in of_mask[file]}
        warnings.append(finding("masks-note", count=len(predicted), exams=len(exams), kind="predicted"))
    unusable: list[tuple[str, Finding]] = []
    found: dict[Finding, list[str]] = defaultdict(list)
    for file, own in of_mask.items():
        last = own[-1]
        if file in predicted:
            for item in own:
                item["label_origin"] = PREDICTED
        if file in predicted if not whole else label_map is None or last.get("label_map") != label_map:
            continue
        try:
            mask = read_mask(file, last.get("label_map"))[0]
        except InputError as error:
            unusable.append((Path(file).name, error.reason))
            _remove(own)
            continue
        for doubt in () if whole else _doubts(mask, own, view):
            found[doubt].append(f"{Path(file).name} (exam {last['exam']})")
    return [*warnings, *(doubt.about(some_of(files)) for doubt, files in found.items())], unusable


def _doubts(mask: np.ndarray, items: Sequence[dict], view: str) -> list[Finding]:
    """Likely mistakes in a mask, and what is found out for its items."""
    doubts = mask_doubts(mask, view)
    if values := unknown_values(mask, view):
        for item in items:
            item["unknown_labels"] = values
    if mask.ndim == 4 and (empty := set(np.flatnonzero(~mask.any(axis=(0, 1, 2))))):
        # M&Ms draws end-diastole and end-systole only
        doubts.append(finding("masks-note", kind="empty-frames"))
        _remove(item for item in items if item.get("time") in empty)
    return doubts


def _remove(items: Iterable[dict]) -> None:
    """Remove the masks of items."""
    for item in items:
        for key in OF_A_MASK:
            item.pop(key, None)
