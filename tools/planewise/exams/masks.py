"""Masks that people add as NIfTI: find them, match them with the slices and phases of exams, and check them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from nibabel.orientations import inv_ornt_aff

from planewise.errors import InputError
from planewise.exams.cases import LISTING, names_of_labels
from planewise.exams.exam import Exam
from planewise.exams.refusals import ODD_PATH
from planewise.exams.stack import Slice, Stack
from planewise.exams.tables import KnownNames, agreed, exam_names
from planewise.exams.volumes import case_and_phase, mask_on_grid
from planewise.files.datalists import PREDICTED, is_labelled
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

if TYPE_CHECKING:
    from planewise.exams.index import IndexResult

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


class _Masks:
    """Assigns masks to items; see `add_masks`."""

    def __init__(self, exams: Sequence[Exam], items: list[dict], class_rows: dict[str, dict], folder: Path) -> None:
        self.items, self.class_rows = items, class_rows
        self.exams = [exam for exam in exams if exam.main_stack is not None]
        self.names = [exam_names(exam, folder) for exam in self.exams]
        self.by_name = KnownNames(self.names)
        self.by_place = {(item["exam"], item["slice"], item["phase"]): item for item in items if "affine" in item}
        self.volumes = _volumes_by_name(items)
        self.replaced: dict[str, str] = {}
        self.by_grid: dict[str, str] = {}

    def add(self, path: Path, turned: bool, renamed: Mapping[str, int] | None) -> Finding | None:
        """Assign one mask; returns why it, or a part of it, is not used."""
        if not is_text(str(path)):
            return ODD_PATH
        case, phase = mask_name(path)
        named_so = self.volumes.get((case.lower(), (phase or "").lower()), [])
        if named_so:
            if len(named_so) > 1:
                return finding("name-unusable", kind="images", count=len(named_so))
            return self._add_to_volume(path, named_so[0], turned, renamed)
        return self._add_to_exam(path, case, phase, read_grid(path, renamed))

    def _add_to_volume(self, path: Path, item: dict, turned: bool, renamed: Mapping[str, int] | None) -> Finding | None:
        image = open_nifti(item["image"] if isinstance(item["image"], str) else item["image"][0])
        problem, axes = mask_on_grid(path, image.shape[:3] if "time" in item else image.shape, image.affine, turned)
        problem = problem or why_unusable(path, renamed)
        if not problem:
            self._set(item, path, axes)
        return problem

    def _add_to_exam(
        self, path: Path, case: str, phase: str | None, grid: tuple[tuple[int, ...], np.ndarray] | Finding
    ) -> Finding | None:
        if isinstance(grid, Finding):
            return grid
        named = self.by_name.find(case)
        # NIfTI exams that were registered to each other share one grid, so a mask for one of them needs the exam's name
        candidates = named or [index for index, exam in enumerate(self.exams) if not exam.case]
        stacks = {index: self.exams[index].main_stack for index in candidates}
        matches = {
            index: match_mask(*grid, stack.slices, (stack.columns, stack.rows)) for index, stack in stacks.items()
        }
        # a mask that fits several exams, such as those of one patient, would label the first one
        fitting = [index for index in candidates if matches[index][0]]
        if len(fitting) > 1:
            names = [self.exams[index].name for index in fitting]
            return finding("name-unusable", kind="exams", count=len(names), names=names)
        if not fitting:
            return matches[named[-1]][1] if named else finding("name-unusable", kind="unknown")
        exam, (pairs, axes) = self.exams[fitting[0]], matches[fitting[0]]
        own = KnownNames([self.names[fitting[0]]])
        row = agreed([row for name, row in self.class_rows.items() if own.find(name)])[0]
        rank = 0 if phase is None and case == exam.name else _phase_rank(phase, exam.main_stack, row)
        if rank is None:
            return finding("mask-not-used", kind="unnamed", example=f"{case}_frame08")
        used, lacking = self._label_slices(path, exam, rank, pairs, [] if axes == [[0, 1], [1, 1]] else axes)
        if used and not named:
            self.by_grid[path.name] = exam.name
        if lacking:
            return finding("mask-not-used", kind="lacking", slices=lacking)
        return None if used else finding("mask-not-used", kind="beyond", phase=phase, count=exam.main_stack.cycle)

    def _label_slices(
        self, path: Path, exam: Exam, rank: int, pairs: Sequence[tuple[int, int]], axes: list[list[int]]
    ) -> tuple[int, list[int]]:
        """Label the slices of a phase; returns the number of labelled slices, and the slices that may lack the phase."""
        used, lacking, cycle = 0, [], exam.main_stack.cycle
        for place, depth in pairs:
            entry = exam.main_stack.slices[place]
            if len(entry.phases) != cycle:
                lacking.append(place + 1)
            elif rank < cycle and (item := self.by_place.get((exam.name, place, entry.phase(rank)))) is not None:
                self._set(item, path, axes)
                item["label_frame"] = depth
                used += 1
        return used, lacking

    def _set(self, item: dict, path: Path, axes: list[list[int]]) -> None:
        """Give an item a mask. What is known of its mask so far, such as the data set's numbers of the structures, does not
        hold for this one."""
        if "label" in item:
            self.replaced[item["label"]] = path.name
        for key in OF_A_MASK:
            item.pop(key, None)
        item |= {"label": str(path)} | ({"label_axes": axes} if axes else {})


def add_masks(
    masks: Sequence[Path],
    exams: Sequence[Exam],
    items: list[dict],
    class_rows: dict[str, dict],
    folder: Path,
    turned: bool = False,
    renamed: Mapping[str, int] | None = None,
) -> tuple[list[tuple[str, Finding]], dict[str, str]]:
    """Assign masks to their items: by the exam's name in the file name, otherwise by geometry alone.

    A mask of a cine names its phase: ``_frame08`` (counted from 1), ``_ed`` (the first), ``_es`` (its frame is in a column
    ``ES`` of the class CSV, because no header says when systole ends), or ``_phase25`` (percent of the cycle, as inference
    names its results). A mask whose name is only the exam's hash was made by inference, for the first phase. ``turned``
    accepts masks of whole volumes whose axes have another order or other directions; ``renamed`` is their label map.

    Returns:
        Masks that were not used: file name and reason; and the exam of each mask that was matched by its grid alone.
    """
    found = _Masks(exams, items, class_rows, folder)
    unmatched = [(path.name, why) for path in masks if (why := found.add(path, turned, renamed))]
    used, told = {item.get("label") for item in items}, dict(unmatched)
    for path in masks:
        if str(path) not in used and path.name not in told:
            unmatched.append((path.name, finding("mask-not-used", kind="other", by=found.replaced[str(path)])))
    return unmatched, found.by_grid


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


def _phase_rank(phase: str | None, stack: Stack, row: dict) -> int | None:
    """The rank of a mask's phase; None if no name, header or table says it."""
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
    frame = {key.lower(): value for key, value in row.items()}.get(phase.lower())
    return frame - 1 if isinstance(frame, int) else 0 if phase == "ED" else None


class MaskChecks:
    """Checks of the masks of a datalist's items, which they change; warnings and unused files go into the result."""

    def __init__(self, items: Sequence[dict], result: IndexResult) -> None:
        self.items, self.result = items, result

        @cache  # because it reads the masks
        def is_unchecked(mask: Path) -> bool:
            """Whether a network predicted a mask, and no person has changed it or saved it as ``*_mask_corrected``."""
            return f"{MASK}{CORRECTED}" not in mask.name and is_predicted(mask)

        self.is_unchecked = is_unchecked

    def of_people(self, masks: Sequence[Path]) -> Sequence[Path]:
        """The masks that people made, corrected or checked, with a warning that counts the others; all masks if a network
        made all of them."""
        made = [path for path in masks if not self.is_unchecked(path)]
        if len(made) in (0, len(masks)):
            return masks
        self.result.warnings.append(finding("masks-note", count=len(masks) - len(made), kind="predicted-left-out"))
        return made

    def check(self, label_map: Mapping[str, int] | None, whole: bool, view: str) -> None:
        """Remove masks that are no labels, mark those that a network predicted, and warn of these and of likely
        mistakes. Masks of whole volumes are read only for a label map (`add_masks` has checked those of
        ``--labels``)."""
        if whole and label_map is not None:
            named = sorted({item["label"] for item in self.items if item.get("label_map") == label_map})
            self._leave_out({file: why for file in named if (why := why_unusable(file, label_map))})
        self._leave_out(_ignored_masks(self.items))
        predicted = [item for item in self.items if "label" in item and self.is_unchecked(Path(item["label"]))]
        for item in predicted:
            item["label_origin"] = PREDICTED
        if predicted:
            files, exams = ({item[key] for item in predicted} for key in ("label", "exam"))
            self.result.warnings.append(finding("masks-note", count=len(files), exams=len(exams), kind="predicted"))
        if not whole:
            self._check_values(view)

    def _check_values(self, view: str) -> None:
        """Remove masks that cannot be used, and warn about likely mistakes in masks that people made and about masks of only
        some slices."""
        slices: dict[tuple, set[int]] = defaultdict(set)
        of_mask: dict[str, list[dict]] = defaultdict(list)
        for item in self.items:
            slices[item["exam"], item.get("phase")].add(item.get("slice", 0))
            if is_labelled(item):
                of_mask[item["label"]].append(item)
        found: dict[Finding, list[str]] = defaultdict(list)
        unusable: dict[str, Finding] = {}
        for file, items in of_mask.items():
            last = items[-1]
            if why := why_unusable(file, last.get("label_map")):
                unusable[file] = why
                continue
            mask = read_mask(file, last.get("label_map"))[0]
            doubts = list(mask_doubts(mask, view))
            own, every = {item.get("slice", 0) for item in items}, slices[items[0]["exam"], items[0].get("phase")]
            if values := unknown_values(mask, view):
                for item in items:
                    item["unknown_labels"] = values
            if mask.ndim == 4 and (empty := set(np.flatnonzero(~mask.any(axis=(0, 1, 2))))):
                # M&Ms draws end-diastole and end-systole only
                doubts.append(finding("masks-note", kind="empty-frames"))
                _remove(item for item in items if item.get("time") in empty)
            if len(own) < len(every):
                doubts.append(finding("masks-note", count=len(own), of=len(every), kind="covers"))
            for doubt in doubts:
                found[doubt].append(f"{Path(file).name} (exam {last['exam']})")
        self.result.warnings += [doubt.about(some_of(files)) for doubt, files in found.items()]
        self._leave_out(unusable)

    def _leave_out(self, reasons: Mapping[str, Finding]) -> None:
        """Remove masks that are no labels; ``reasons`` maps each file to the reason."""
        self.result.unmatched += [(Path(file).name, reason) for file, reason in reasons.items()]
        _remove(item for item in self.items if item.get("label") in reasons)


def _ignored_masks(items: Sequence[dict]) -> dict[str, Finding]:
    """Maps each mask that contains the value that nnU-Net's ``dataset.json`` calls ignore to the reason why it is no label:
    nobody said what is there. A label map that names the value decides what it becomes."""
    names = cache(names_of_labels)
    found = {}
    for file, item in {item["label"]: item for item in items if "label" in item}.items():
        for value, name in names(Path(file).parents[1] / LISTING).items():
            if name == "ignore" and str(value) not in item.get("label_map", ()):
                with suppress(InputError):  # those who read the mask report it
                    if (read_mask(file)[0] == value).any():
                        found[file] = finding("mask-values", kind="ignore", value=value)
    return found


def _remove(items: Iterable[dict]) -> None:
    for item in items:
        for key in OF_A_MASK:
            item.pop(key, None)
