"""Read labels that people add: masks as NIfTI, classes as CSV, and small YAML files that rename or override values."""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from planewise.errors import InputError
from planewise.exams.cases import LISTING, names_of_labels
from planewise.exams.exam import ISSUER, Exam
from planewise.exams.refusals import (
    HIDDEN,
    NOT_DICOM,
    ODD_PATH,
    Refused,
    refuse_by_name,
)
from planewise.exams.stack import Slice, Stack
from planewise.exams.volume import Volume
from planewise.exams.volumes import case_and_phase, mask_on_grid
from planewise.files import text as text_files
from planewise.files.below import files_below
from planewise.files.datalists import RESERVED
from planewise.files.masks import LARGEST_LABEL, read_mask, why_unusable
from planewise.files.names import common_name, nifti_files, stem
from planewise.files.nifti import SAME_GRID, corners_apart, grid_of_slices, is_nifti, open_nifti, written_affine
from planewise.files.predicted_masks import (
    CORRECTED,
    IMAGE,
    MASK,
    corrected_stems,
    is_predicted,
    oldest_first,
)
from planewise.findings import Finding, finding, said
from planewise.phases import named_phases
from planewise.words import composed, is_text, loose

#: Keys of an item that name or describe its mask.
OF_A_MASK = "label", "label_frame", "label_axes", "label_map", "label_origin", "unknown_labels"
#: Why a file in the folder of masks is not used.
DICOM_MASK, NO_MASK = finding("file-not-used", kind="dicom"), finding("file-not-used", kind="other")
#: Names of columns that identify patients or exams.
_IDENTIFIES = re.compile(r"(patient|subject|exam|case)[\W_]*(id|name|no|number)?|folder|hash", re.IGNORECASE)


def read_label_map(given: str | Path | Mapping[int, int]) -> dict[str, int]:
    """A mapping of mask values, ``{1: 3, 2: 2, 3: 1}``, or a YAML file that contains one, in the datalist's form.

    Raises:
        InputError: it is not a mapping of whole numbers, or a new value does not fit into a mask.
    """
    path = "label_map" if isinstance(given, Mapping) else Path(given).expanduser()
    content = given if isinstance(given, Mapping) else read_yaml(path, "a label map")
    if not content or not all(type(key) is int and type(value) is int for key, value in content.items()):
        raise InputError(f"{path}: a label map assigns whole numbers to whole numbers, like `1: 3`")
    if wrong := [value for value in content.values() if not 0 <= value <= LARGEST_LABEL]:
        raise InputError(
            f"{path}: new values of a mask must be 0 to {LARGEST_LABEL}, got {wrong[0]:.4g}; number the structures from 1"
        )
    return {str(key): value for key, value in content.items()}


def read_yaml(path: Path, what: str) -> dict:
    """Read a YAML file that contains a mapping.

    Raises:
        InputError: the file cannot be read or contains something else.
    """
    content = text_files.read_yaml(path, what)
    if not isinstance(content, dict):
        raise InputError(f"{path} is not {what}: write lines like `key: value`")
    return content


def read_classes(path: Path) -> tuple[dict[str, dict[str, object]], list[tuple[str, Finding]]]:
    """Read a CSV with a header row: the first column names an exam, the other columns are its classes.

    Columns of numbers become numbers. Rows without a name (padding) are ignored.

    Returns:
        Maps names to classes; and problems: non-finite values in a column of numbers (left out), texts in a column of mostly
        numbers, and classes in which two rows of one name disagree.

    Raises:
        InputError: the file cannot be read, or has no header row or no classes; or the name of a column is missing,
            repeated, or a key that items use themselves.
    """
    rows = text_files.read_csv(path)
    if len(rows) < 2 or len(rows[0]) < 2:
        raise InputError(f"{path} needs a header row, then one row per exam: its name, then its classes")
    header, *rows = rows
    for row in rows:
        if not row[0] or any(row[len(header) :]):
            raise InputError(
                f"{path}: the row {','.join(row):.40} has no name, or more cells than the header; correct it"
            )
    names = header[1:]
    if taken := sorted(RESERVED & set(names)):
        raise InputError(f"{path}: a class cannot be called {', '.join(taken)}, because items use that name themselves")
    if len({*names} - {""}) < len(names):
        raise InputError(
            f"{path}: columns without a name, or with the same name; give each class its own in the header"
        )
    columns = [[row[index] if index < len(row) else "" for row in rows] for index in range(1, len(header))]
    problems: list[tuple[str, Finding]] = []
    by_name: dict[str, list[dict[str, object]]] = {row[0]: [] for row in rows}
    entries: list[dict[str, object]] = [{} for _ in rows]
    for name, column in zip(names, columns, strict=True):
        if name in column or isinstance(_typed([name])[0], (int, float)):
            raise InputError(f"{path} begins with a class ({name}); write a header row before it, such as exam,group")
        texts = [index for index, value in enumerate(column) if value and isinstance(_typed([value])[0], str)]
        commas = [index for index in texts if re.fullmatch(r"[+-]?\d+,\d+", column[index])][:1]
        for index in texts if 2 * len(texts) < sum(map(bool, column)) else commas:
            problems.append((rows[index][0], finding("table-row", kind="text", column=name, value=column[index][:20])))
        for row, entry, value in zip(rows, entries, _typed(column), strict=True):
            if isinstance(value, float) and not math.isfinite(value):
                reason = finding("table-row", kind="value", column=name, value=str(value), wanted="a finite number")
                problems.append((row[0], reason))
            elif value != "":
                entry[name] = value
    for row, entry in zip(rows, entries, strict=True):
        by_name[row[0]].append(entry)
    merged = {exam: agreed(own) for exam, own in by_name.items()}
    problems += [(exam, why) for exam, (_, why) in merged.items() if why]
    return {exam: entry for exam, (entry, _) in merged.items()}, problems


def agreed(rows: Sequence[dict[str, object]]) -> tuple[dict[str, object], Finding | None]:
    """The values that the rows of one exam share, and in which classes the rows disagree."""
    merged: dict[str, object] = {}
    contradicted = set()
    for row in rows:
        contradicted |= {name for name, value in row.items() if merged.setdefault(name, value) != value}
    why = finding("rows-disagree", columns=sorted(contradicted)) if contradicted else None
    return {name: value for name, value in merged.items() if name not in contradicted}, why


def _typed(column: list[str]) -> list[object]:
    for kind in (int, float):
        try:
            # Python would read 5_0 as 50
            return [kind(value.replace("_", "?")) if value else "" for value in column]
        except ValueError:
            continue
    return list(column)


class KnownNames:
    """Finds exams by name. An exact match takes precedence over one that differs only in leading zeros (``7`` for ``007``) or
    in capitalisation.

    Args:
        known: the names of each exam.
    """

    def __init__(self, known: Iterable[set[str]]) -> None:
        self._exact: dict[str, list[int]] = defaultdict(list)
        self._loose: dict[str, list[int]] = defaultdict(list)
        for index, names in enumerate(known):
            for name in names:
                self._exact[name].append(index)
            for name in set(map(loose, names)):
                self._loose[name].append(index)

    def find(self, name: str) -> list[int]:
        """The indices of the exams that have this name."""
        name = composed(name)
        return self._exact.get(name) or self._loose.get(loose(name), [])


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
    found = [
        path
        for path in found
        if not any(
            stem(path).endswith(ending) and (path.parent, stem(path).removesuffix(ending) + MASK) in names
            for ending in (IMAGE, "_lines", "_heatmaps")
        )
    ]
    if not found:
        others = said(reason for _, reason in other_files(folder) if reason != NO_MASK)
        raise InputError(
            f"--labels {folder}: no NIfTI file (.nii, .nii.gz) in it" + (f", but {others}" if others else "")
        )
    corrected = [path for path in found if CORRECTED in path.name]
    return [path for path in found if CORRECTED not in path.name] + oldest_first(corrected)


def other_files(folder: Path, images: Collection[str] = ()) -> list[tuple[str, Finding]]:
    """The files below the folder of masks that are not NIfTI, without hidden and system files and ``images``: for each
    reason, the name of a file with the number of further files, and the reason."""
    by_reason: dict[Finding, list[str]] = defaultdict(list)
    others = [Path(path) for path in files_below(folder) if not is_nifti(path)]
    # a person may name the folder of the masks in another way than that of the images
    own = set(map(os.path.realpath, images)) if others else set()
    for path in others:
        if os.path.realpath(path) not in own:
            by_reason[_why_no_mask(path)].append(path.name)
    by_reason.pop(HIDDEN, None)
    return _counted(by_reason)


def _why_no_mask(path: Path) -> Finding:
    try:
        refuse_by_name(path.name)
        with open(path, "rb") as file:
            return DICOM_MASK if file.read(132)[128:] == b"DICM" else NO_MASK
    except Refused as refused:
        return NO_MASK if refused.args[0] == NOT_DICOM else refused.args[0]
    except OSError:
        return NO_MASK


def is_unchecked(mask: Path) -> bool:
    """Whether a network predicted a mask, and no person has changed it or saved it as checked, as ``*_mask_corrected``."""
    return f"{MASK}{CORRECTED}" not in mask.name and is_predicted(mask)


def not_corrected_elsewhere(masks: Sequence[Path]) -> tuple[list[Path], list[tuple[str, Finding]]]:
    """The masks to use; and for each reason why masks are not used, the name of one such file with the number of others, and
    the reason: a person corrected them in another file of their folder."""
    kept, by_reason = [], defaultdict(list)
    # each folder is listed once, because it may contain thousands of masks
    corrected = {folder: [*folder.glob(f"*{CORRECTED}*")] for folder in {path.parent for path in masks}}
    for path in masks:
        own = [file for file in corrected[path.parent] if file.name.startswith(corrected_stems(path))]
        if not own or not stem(path).endswith(MASK):
            kept.append(path)
        elif any(map(is_nifti, own)):
            by_reason[finding("mask-not-used", kind="corrected")].append(path.name)
        else:
            by_reason[finding("mask-not-used", kind="unsaved", by=own[0].name)].append(path.name)
    return kept, _counted(by_reason)


def _counted(by_reason: Mapping[Finding, Sequence[str]]) -> list[tuple[str, Finding]]:
    return [
        (names[0] + (f" and {len(names) - 1} more" if names[1:] else ""), reason) for reason, names in by_reason.items()
    ]


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
    """Match the slices of a mask to the slices of a stack.

    Args:
        mask_shape, mask_affine: grid of the mask (`read_grid`), whose third axis is the stack.
        slices: slices of the stack.
        shape: pixels of a slice along i and j.

    Returns:
        Pairs (slice of the stack, slice of the mask), and the orientation of the mask's in-plane axes relative to the
        image's axes, because masks drawn on converted images are often mirrored. The orientation has the form of
        `nibabel.orientations.apply_orientation` (``[[0, 1], [1, 1]]`` is no change). If the mask does not fit: no
        pairs, and the reason.
    """
    written = (*shape, len(slices))
    if tuple(mask_shape) == written:  # on the grid that planewise writes, slices are matched by number
        grid = written_affine(grid_of_slices(np.array([entry.affine for entry in slices])), written)
        if corners_apart(written, grid, mask_affine) <= SAME_GRID:
            return [(rank, rank) for rank in range(len(slices))], [[0, 1], [1, 1]]
    pairs, axes = [], None
    closest = np.inf
    for rank, entry in enumerate(slices):
        # mask voxel to image voxel
        between = np.linalg.inv(_unit_depth(entry.affine)) @ mask_affine
        axes = _in_plane(between, mask_shape)
        if axes is None:
            return [], finding("grid-differs", kind="planes")
        if tuple(mask_shape[axis] for axis, _ in axes) != tuple(shape):
            return [], finding("grid-differs", kind="shape", own=mask_shape[:2], wanted=shape)
        for depth in range(mask_shape[2]):
            apart = _corner_distance(entry.affine, mask_affine, axes, depth, shape)
            closest = min(closest, apart)
            if apart <= max(SAME_GRID, 0.1 * np.linalg.norm(mask_affine[:3, 0])):
                pairs.append((rank, depth))
    if not pairs:
        return [], finding("grid-differs", kind="place", mm=round(float(closest), 1))
    orientation: list = [None, None]
    for out, (axis, sign) in enumerate(axes):
        orientation[axis] = [out, sign]
    return pairs, orientation


def _unit_depth(affine: np.ndarray) -> np.ndarray:
    """The affine with its third column scaled to one millimetre, so that it is invertible for any header."""
    affine = np.array(affine)
    cross = np.cross(affine[:3, 0], affine[:3, 1])
    affine[:3, 2] = cross / np.linalg.norm(cross)
    return affine


def _in_plane(between: np.ndarray, mask_shape: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """The axes of the mask that correspond to the image's i and j, each with its sign; None unless the axes correspond
    one to one."""
    block = between[:2, :2]
    axes = []
    for row in block:
        axis = int(np.abs(row).argmax())
        # if the pixels of mask and image drift apart by one pixel over the image, the grids differ
        if abs(abs(row[axis]) - 1) > 1 / max(mask_shape) or abs(row[1 - axis]) > 1 / max(mask_shape):
            return None
        axes.append((axis, int(np.sign(row[axis]))))
    return axes if axes[0][0] != axes[1][0] else None


def _corner_distance(affine, mask_affine, axes, depth: int, shape: tuple[int, int]) -> float:
    """Largest distance (mm) between a slice's corners and their positions in the mask."""
    apart = []
    for corner in product(*((0, size - 1) for size in shape)):
        index = np.array([0.0, 0.0, depth, 1.0])
        for (axis, sign), value, size in zip(axes, corner, shape, strict=True):
            index[axis] = value if sign > 0 else size - 1 - value
        apart.append(np.linalg.norm((mask_affine @ index - affine @ [*corner, 0, 1])[:3]))
    return float(max(apart))


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
            images = [item["image"] if isinstance(item["image"], str) else item["image"][0] for item in named_so]
            chosen = _in_the_same_folders(path, [Path(image).parts for image in images])
            if chosen is None:
                return finding("name-ambiguous", kind="images", count=len(named_so))
            return self._add_to_volume(path, named_so[chosen], turned, renamed)
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
            chosen = _in_the_same_folders(path, [self.exams[index].folder.parts for index in fitting])
            if chosen is None:
                names = [self.exams[index].name for index in fitting]
                return finding("name-ambiguous", kind="exams", count=len(names), names=names)
            fitting = [fitting[chosen]]
        if not fitting and named:
            return matches[named[-1]][1]
        if not fitting:
            phases = [of_case for name, of_case in self.volumes if name == case.lower() and of_case]
            example = {"kind": "unnamed", "example": f"{case}_{phases[-1]}"} if phases else {}
            return finding("mask-not-used", **example) if phases else finding("name-unknown")
        exam, (pairs, axes) = self.exams[fitting[0]], matches[fitting[0]]
        own = KnownNames([self.names[fitting[0]]])
        row = agreed([row for name, row in self.class_rows.items() if own.find(name)])[0]
        rank = 0 if phase is None and case == exam.name else _phase_rank(phase, exam.main_stack, row)
        if rank is None:
            kind = {"kind": "systole"} if phase else {"kind": "unnamed", "example": f"{case}_ed"}
            return finding("mask-not-used", **kind)
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

    A mask of a cine names its phase: ``_frame08`` (counted from 1), ``_ed`` (the first), ``_es``, or ``_phase25``
    (percent of the cycle, as inference names its results). For ``_es``, a column ``ES`` of the class CSV must give the
    frame, because no header says when systole ends. A mask whose name is only the exam's hash was made by inference,
    for the first phase. ``turned`` accepts masks of whole volumes whose axes have another order or other directions;
    ``renamed`` is the label map of the masks.

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


def _in_the_same_folders(mask: Path, homes: Sequence[Sequence[str]]) -> int | None:
    """The number of the one of several images of the same name whose folders (the parts of its path) have the names of the
    mask's folders; None if no single one has."""
    if len(homes) < 2:
        return 0 if homes else None
    shared = [len((set(home) - set.intersection(*map(set, homes))) & set(mask.parent.parts)) for home in homes]
    best = max(shared)
    return shared.index(best) if best and shared.count(best) == 1 else None


def ignored_masks(items: Sequence[dict]) -> dict[str, Finding]:
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


def exam_names(exam: Exam | Volume, folder: Path) -> set[str]:
    """The names of an exam: its hash, its folders below the indexed one, its PatientID, its case. A photograph is also named
    by its file, with folders in front, and by its patient in the table or in its name."""
    home = exam.folder
    parts = home.relative_to(folder).parts if home.is_relative_to(folder) else ()
    names = {exam.name, exam.patient, *(parts or (home.name,))}
    if exam.case:
        names.add(exam.case)
    own = [exam.patient_key, *exam.aliases][-1]  # a copy has the key of another exam
    if own.startswith("patient:"):
        names.add(own.removeprefix("patient:").partition(ISSUER)[0])
    if exam.key.startswith("photograph:"):
        names.add(exam.patient_key.removeprefix("photograph:").removeprefix("patient:"))
        files = [*parts, exam.image.name]
        names |= {"/".join([*files[start:-1], name]) for start in range(len(files)) for name in (files[-1], exam.case)}
    return set(map(composed, names))


def add_classes(
    class_rows: dict[str, dict], exams: Sequence[Exam | Volume], items: list[dict], folder: Path
) -> tuple[list[tuple[str, Finding]], list[Finding]]:
    """Give items the classes of their exam.

    Returns:
        Rows that match no exam or another one than a further column names, and exams whose rows (by folder and by
        PatientID, for example) disagree: name and reason. Then a warning about rows that each label several exams.
    """
    by_name = KnownNames(exam_names(exam, folder) for exam in exams)
    rows: dict[str, list[dict]] = defaultdict(list)
    unmatched, several = [], []
    for name, row in class_rows.items():
        found = by_name.find(name)
        matched, patients = ({getattr(exams[index], of) for index in found} for of in ("name", "patient"))
        others = {column: by_name.find(str(row[column])) for column in row if _IDENTIFIES.fullmatch(column)}
        if column := next((column for column, other in others.items() if other and not {*other} & {*found}), None):
            unmatched.append((name, finding("table-row", kind="elsewhere", column=column)))
        elif not matched:
            unmatched.append((name, finding("name-unknown")))
        elif len(patients) > 1:
            unmatched.append((name, finding("name-ambiguous", kind="patients", count=len(patients))))
        else:
            several += [name] if len(matched) > 1 else []
            for exam in matched:
                rows[exam].append(row)
    classes = {}
    for exam, own in rows.items():
        classes[exam], why = agreed(own)
        unmatched += [(exam, why)] if why else []
    for item in items:
        item |= classes.get(item["exam"], {})
    return unmatched, [finding("names-several", count=len(several), names=several)] if several else []
