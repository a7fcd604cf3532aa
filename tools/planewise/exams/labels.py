"""Read labels that people add: masks as NIfTI, classes as CSV, and small YAML files that rename or override values."""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from planewise import text_files
from planewise.errors import InputError
from planewise.exams.cases import LISTING, names_of_labels
from planewise.exams.exam import ISSUER, Exam
from planewise.exams.files_below import files_below
from planewise.exams.mask_checks import LARGEST_LABEL, read_mask, why_unusable
from planewise.exams.refusals import (
    HIDDEN,
    NOT_DICOM,
    ODD_PATH,
    Refused,
    refuse_by_name,
)
from planewise.exams.reserved import RESERVED
from planewise.exams.stack import Slice, Stack
from planewise.exams.volume import Volume, common_name, nifti_files, stem
from planewise.exams.volumes import SAME_GRID, case_and_phase, corners_apart, mask_on_grid
from planewise.exams.words import composed, count_of, is_text, listed, loose, named_phases, some_of
from planewise.nifti_files import grid_of_slices, is_nifti, open_nifti, written_affine
from planewise.predicted_masks import (
    CORRECTED,
    IMAGE,
    MASK,
    corrected_stems,
    is_corrected,
    is_predicted,
    oldest_first,
)

#: Keys of an item that name or describe its mask.
OF_A_MASK = "label", "label_frame", "label_axes", "label_map", "label_origin", "unknown_labels"
#: Why a file in the folder of masks is not used.
DICOM_MASK = (
    "DICOM file: masks must be NIfTI (.nii, .nii.gz); convert a DICOM segmentation in 3D Slicer or with dcmqi "
    "(segimage2itkimage)"
)
NO_MASK = "not a NIfTI file (.nii, .nii.gz)"
#: Axes of a mask are parallel to those of the images if they differ by less than this fraction of a pixel per pixel.
_IN_PLANE = 1e-3
#: Why a mask whose name belongs to several images is not used.
_SEVERAL_OF_THE_NAME = "{} images have this name; put it into a folder with the name of its image's folder"


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


def read_classes(path: Path) -> tuple[dict[str, dict[str, object]], list[tuple[str, str]]]:
    """Read a CSV with a header row: the first column names an exam, the other columns are its classes.

    Columns of numbers become numbers. Rows without a name (padding) are ignored.

    Returns:
        Maps names to classes; and a list of problems as (name, reason). Problems are non-finite values in a column of
        numbers (left out), texts in a column of mostly numbers, and classes in which two rows of one name disagree.

    Raises:
        InputError: the file cannot be read, or has no header row or no classes; or the name of a column is missing,
            repeated, or a key that items use themselves.
    """
    rows = text_files.read_csv(path)
    for row in rows[1:]:
        if not row[0]:
            raise InputError(f"{path}: a row has no name ({','.join(row):.40}); name its exam in the first column")
        if any(row[len(rows[0]) :]):
            raise InputError(
                f"{path}: the row of {row[0]:.20} has {len(row)} cells, and the header {len(rows[0])}; put quotes "
                "around a cell that contains a comma"
            )
    if len(rows) < 2 or len(rows[0]) < 2:
        raise InputError(f"{path} needs a header row, then one row per exam: its name, then its classes")
    names = rows[0][1:]
    taken = sorted(RESERVED & set(names))
    if taken:
        raise InputError(f"{path}: a class cannot be called {', '.join(taken)}, because items use that name themselves")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or "" in names:
        problem = f"two columns are called {', '.join(twice)}" if twice else "a column has no name"
        raise InputError(f"{path}: {problem}; give each class a name of its own in the header row")
    columns = [[row[index] if index < len(row) else "" for row in rows[1:]] for index in range(1, len(rows[0]))]
    for name, column in zip(names, columns, strict=True):
        if name in column or isinstance(_typed([name])[0], (int, float)):
            raise InputError(f"{path} begins with a class ({name}); write a header row before it, such as exam,group")
    values = [_typed(column) for column in columns]
    problems, by_name = [], defaultdict(list)
    for name, column in zip(names, columns, strict=True):
        texts = [index for index, value in enumerate(column) if value and isinstance(_typed([value])[0], str)]
        if 2 * len(texts) < sum(map(bool, column)):
            reason = "but most rows have a number: the whole column is read as text"
            problems += [(rows[1 + index][0], f"{name} is {column[index]:.20}, {reason}") for index in texts]
        elif commas := [index for index in texts if re.fullmatch(r"[+-]?\d+,\d+", column[index])]:
            reason = "and the column is read as text: write decimal points"
            problems.append((rows[1 + commas[0]][0], f"{name} is {column[commas[0]]:.20}, {reason}"))
    for index, row in enumerate(rows[1:]):
        exam, entry = row[0], {}
        for name, column in zip(names, values, strict=True):
            value = column[index]
            if isinstance(value, float) and not math.isfinite(value):
                problems.append((exam, f"{name} is {value}, not a finite number: left out"))
            elif value != "":
                entry[name] = value
        by_name[exam].append(entry)
    merged = {}
    for exam, entries in by_name.items():
        merged[exam], contradicted = _agreed(entries)
        if contradicted:
            problems.append((exam, _contradiction(contradicted)))
    return merged, problems


def _agreed(rows: Sequence[dict[str, object]]) -> tuple[dict[str, object], list[str]]:
    """Merge the rows of one exam: the values that they share, and the classes in which they disagree."""
    merged: dict[str, object] = {}
    contradicted = set()
    for row in rows:
        contradicted |= {name for name, value in row.items() if merged.setdefault(name, value) != value}
    return {name: value for name, value in merged.items() if name not in contradicted}, sorted(contradicted)


def _contradiction(names: Sequence[str]) -> str:
    return f"rows of this exam disagree in {', '.join(names)}: left out"


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
        others = "; ".join(reason for _, reason in other_files(folder) if reason != NO_MASK)
        raise InputError(
            f"--labels {folder}: no NIfTI file (.nii, .nii.gz) in it" + (f", but {others}" if others else "")
        )
    corrected = [path for path in found if CORRECTED in path.name]
    return [path for path in found if CORRECTED not in path.name] + oldest_first(corrected)


def other_files(folder: Path, images: Collection[str] = ()) -> list[tuple[str, str]]:
    """The files below the folder of masks that are not NIfTI, without hidden and system files and ``images``: for each
    reason, the name of a file with the number of further files, and the reason."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    others = [Path(path) for path in files_below(folder) if not is_nifti(path)]
    # a person may name the folder of the masks in another way than that of the images
    own = set(map(os.path.realpath, images)) if others else set()
    for path in others:
        if os.path.realpath(path) in own:
            continue
        reason = _why_no_mask(path)
        if reason != HIDDEN:
            by_reason[reason].append(path.name)
    return _counted(by_reason)


def _why_no_mask(path: Path) -> str:
    try:
        refuse_by_name(path.name)
        with open(path, "rb") as file:
            return DICOM_MASK if file.read(132)[128:] == b"DICM" else NO_MASK
    except Refused as refused:
        return NO_MASK if str(refused) == NOT_DICOM else str(refused)
    except OSError:
        return NO_MASK


def is_unchecked(mask: Path) -> bool:
    """Whether a network predicted a mask, and no person has changed it or saved it as checked, as ``*_mask_corrected``."""
    return f"{MASK}{CORRECTED}" not in mask.name and is_predicted(mask)


def not_corrected_elsewhere(masks: Sequence[Path]) -> tuple[list[Path], list[tuple[str, str]]]:
    """The masks to use; and for each reason why masks are not used, the name of one such file with the number of others, and
    the reason: a person corrected them in another file of their folder."""
    kept, by_reason = [], defaultdict(list)
    # each folder is listed once, because it may contain thousands of masks
    corrected = {folder: [*folder.glob(f"*{CORRECTED}*")] for folder in {path.parent for path in masks}}
    for path in masks:
        own = [file for file in corrected[path.parent] if file.name.startswith(corrected_stems(path))]
        if not own or not stem(path).endswith(MASK):
            kept.append(path)
        elif is_corrected(path) and all(path.stat().st_mtime_ns > file.stat().st_mtime_ns for file in own):
            by_reason["a person changed it after the last correction; run `planewise segment` to use it"].append(
                path.name
            )
        elif any(map(is_nifti, own)):
            by_reason["a person corrected it in another file of its folder"].append(path.name)
        else:
            by_reason[f"a person corrected it in {own[0].name}; run `planewise segment` to save that as NIfTI"].append(
                path.name
            )
    return kept, _counted(by_reason)


def _counted(by_reason: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
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


def read_grid(path: Path, renamed: Mapping[str, int] | None = None) -> tuple[tuple[int, ...], np.ndarray] | str:
    """The shape and the affine of a NIfTI mask, or why it cannot be used. The voxels are read, too, because a truncated mask,
    or one with values that cannot be labels, must not replace another one."""
    try:
        mask, affine = read_mask(path, renamed)
    except InputError as error:
        return str(error)
    if mask.ndim != 3:
        return f"it has {mask.ndim} dimensions; each phase needs one 3D mask"
    return mask.shape, affine


def match_mask(
    mask_shape: tuple[int, ...], mask_affine: np.ndarray, slices: Sequence[Slice], shape: tuple[int, int]
) -> tuple[list[tuple[int, int]], list[list[int]] | str]:
    """Match the slices of a mask to the slices of a stack.

    Args:
        mask_shape, mask_affine: grid of the mask (`read_grid`), whose third axis is the stack.
        slices: slices of the stack.
        shape: pixels of a slice along i and j.

    Returns:
        Pairs (slice of the stack, slice of the mask), and the orientation of the mask's in-plane axes relative to the
        image's axes, because masks drawn on converted images are often mirrored. The orientation has the form of
        `nibabel.orientations.apply_orientation` (``[[0, 1], [1, 1]]`` is no change). If the mask does not fit: no
        pairs, and the reason in words.
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
            return [], _why_other_axes(between)
        if tuple(mask_shape[axis] for axis, _ in axes) != tuple(shape):
            sizes = f"its slices have {mask_shape[0]}x{mask_shape[1]} pixels, the images {shape[0]}x{shape[1]}"
            return [], f"{sizes}; if 3D Slicer cropped it, export it again with the image as its reference volume"
        for depth in range(mask_shape[2]):
            apart = _corner_distance(entry.affine, mask_affine, axes, depth, shape)
            closest = min(closest, apart)
            if apart <= max(SAME_GRID, 0.1 * np.linalg.norm(mask_affine[:3, 0])):
                pairs.append((rank, depth))
    if not pairs:
        return [], f"its affine puts it {closest:.1f} mm or more from every slice"
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


def _why_other_axes(between: np.ndarray) -> str:
    """Why the axes of a mask are not those of the images; ``between`` maps mask voxels to image voxels."""
    directions = between[:3, :3] / np.linalg.norm(between[:3, :3], axis=0)
    if ((np.abs(directions) < _IN_PLANE).sum(axis=0) == 2).all() and abs(directions[2, 2]) < _IN_PLANE:
        return "its third axis is not that of the slices; save it on the images' grid"
    across, sides = np.abs(between[2, :2]), np.sort(np.abs(between[:2, :2]), axis=0)
    if max(across.max(), sides[0].max()) < _IN_PLANE:
        times = " x ".join(f"{side:.3g}" for side in sides[1])
        return f"its pixels are {times} times as large as those of the images; save it on the images' grid"
    return "its slices do not lie in the planes of the stack"


def _corner_distance(affine, mask_affine, axes, depth: int, shape: tuple[int, int]) -> float:
    """Largest distance (mm) between a slice's corners and their positions in the mask."""
    apart = 0.0
    for i in (0, shape[0] - 1):
        for j in (0, shape[1] - 1):
            index = np.array([0.0, 0.0, depth, 1.0])
            for (axis, sign), value, size in zip(axes, (i, j), shape, strict=True):
                index[axis] = value if sign > 0 else size - 1 - value
            apart = max(apart, float(np.linalg.norm((mask_affine @ index - affine @ [i, j, 0, 1])[:3])))
    return apart


def add_masks(
    masks: Sequence[Path],
    exams: Sequence[Exam],
    items: list[dict],
    class_rows: dict[str, dict],
    folder: Path,
    turned: bool = False,
    renamed: Mapping[str, int] | None = None,
) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Assign masks to their items: by the exam's name in the file name, otherwise by geometry alone.

    A mask of a cine names its phase: ``_frame08`` (counted from 1), ``_ed`` (the first), ``_es``, or ``_phase25``
    (percent of the cycle, as inference names its results). For ``_es``, a column ``ES`` of the class CSV must give the
    frame, because no header says when systole ends. A mask whose name is only the exam's hash was made by inference,
    for the first phase. ``turned`` accepts masks of whole volumes whose axes have another order or other directions;
    ``renamed`` is the label map of the masks.

    Returns:
        Masks that were not used: file name and reason; and the exam of each mask that was matched by its grid alone.
    """
    unmatched = []
    by_grid: dict[str, str] = {}
    volumes: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for item in items:
        if "affine" not in item:
            image = item["image"]
            case, phase = mask_name(Path(image)) if isinstance(image, str) else (common_name(image), None)
            if "time" in item:
                phase = item["phase"]
                if item["time"] == 0:
                    volumes[case.lower(), "ed"].append(item)
            volumes[case.lower(), (phase or "").lower()].append(item)
    # inference names its results by the exam's hash
    by_hash: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for item in items:
        if "affine" not in item:
            phase = item.get("phase")
            by_hash[item["exam"], phase.lower() if isinstance(phase, str) else ""].append(item)
    volumes |= {name: found for name, found in by_hash.items() if len(found) == 1}
    usable = [exam for exam in exams if exam.main_stack is not None]
    known = [exam_names(exam, folder) for exam in usable]
    by_name = KnownNames(known)
    by_place = {(item["exam"], item["slice"], item["phase"]): item for item in items if "affine" in item}
    replaced: dict[str, str] = {}

    @cache
    def row_of(index: int) -> dict:
        own = KnownNames([known[index]])
        return _agreed([row for name, row in class_rows.items() if own.find(name)])[0]

    for path in masks:
        if not is_text(str(path)):
            unmatched.append((path.name, ODD_PATH))
            continue
        case, phase = mask_name(path)
        named_so = volumes.get((case.lower(), (phase or "").lower()), [])
        images = [item["image"] if isinstance(item["image"], str) else item["image"][0] for item in named_so]
        chosen = _in_the_same_folders(path, [Path(image).parts for image in images])
        if named_so and chosen is None:
            unmatched.append((path.name, _SEVERAL_OF_THE_NAME.format(len(named_so))))
            continue
        if chosen is not None:
            volume = named_so[chosen]
            before = volume.get("label")
            problem = _add_to_volume(path, volume, turned, renamed)
            if not problem and before is not None:
                replaced[before] = path.name
            if problem:
                unmatched.append((path.name, problem))
            continue
        named = by_name.find(case)
        # NIfTI exams that were registered to each other share one grid, so a mask for one of them needs the exam's name
        candidates = named or [index for index, exam in enumerate(usable) if not exam.case]
        grid = read_grid(path, renamed)
        matches = {index: _match(grid, usable[index].main_stack) for index in candidates}
        # a mask that fits several exams, such as those of one patient, would label the first one
        fitting = [index for index in candidates if matches[index][0]]
        if len(fitting) > 1:
            chosen = _in_the_same_folders(path, [usable[index].folder.parts for index in fitting])
            if chosen is None:
                unmatched.append((path.name, _fits_several([usable[index].name for index in fitting], phase)))
                continue
            fitting = [fitting[chosen]]
        problem = "no exam has this name, and its grid matches no exam's slices"
        if phases := [of_case for name, of_case in volumes if name == case.lower() and of_case]:
            problem = f"its exam has several phases; name the mask by its phase, such as {case}_{phases[-1]}"
        problem = grid if isinstance(grid, str) else problem
        used = 0
        for index in fitting or named:
            exam = usable[index]
            stack = exam.main_stack
            pairs, orientation = matches[index]
            if not pairs:
                problem = str(orientation)
                continue
            of_first = phase is None and case == exam.name
            rank_of_phase = 0 if of_first else _phase_rank(phase, stack, row_of(index))
            if isinstance(rank_of_phase, str):
                problem = rank_of_phase
                continue
            lacking, cycle = [], stack.cycle
            for rank, depth in pairs:
                entry = stack.slices[rank]
                if len(entry.phases) != cycle:
                    lacking.append(str(rank + 1))
                    continue
                phase_of = entry.phase(rank_of_phase) if rank_of_phase < cycle else None
                item = by_place.get((exam.name, rank, phase_of))
                if item is not None:
                    if "label" in item:
                        replaced[item["label"]] = path.name
                    _set_mask(item, path, [] if orientation == [[0, 1], [1, 1]] else orientation)
                    item["label_frame"] = depth
                    used += 1
            problem = f"its phase ({phase}) is beyond the {cycle} phases of the exam"
            if lacking:
                which = f"slice{'s' * (len(lacking) > 1)} {listed(lacking)}"
                problem = f"not used for {which}, which may lack this phase"
                unmatched.append((path.name, problem))
            break
        if used and not named:
            by_grid[path.name] = exam.name
        if not used and (path.name, problem) not in unmatched:
            unmatched.append((path.name, str(problem)))
    used = {item.get("label") for item in items}
    told = {name for name, _ in unmatched}
    for path in masks:
        if str(path) not in used and path.name not in told:
            unmatched.append((path.name, f"{replaced[str(path)]} labels the same images, and is used"))
    return unmatched, by_grid


def _match(
    grid: tuple[tuple[int, ...], np.ndarray] | str, stack: Stack
) -> tuple[list[tuple[int, int]], list[list[int]] | str]:
    return ([], grid) if isinstance(grid, str) else match_mask(*grid, stack.slices, (stack.columns, stack.rows))


def _fits_several(names: Sequence[str], phase: str | None) -> str:
    """Why a mask that fits several exams is not used if nothing says which exam is meant."""
    example = f"{names[0]}_{(phase or 'ed').lower()}"  # the hash alone would mean the first phase
    return (
        f"it fits {len(names)} exams ({some_of(names)}): name it by the hash of its exam ({example}), or put it into a "
        "folder with the name of its exam's folder"
    )


def _in_the_same_folders(mask: Path, homes: Sequence[Sequence[str]]) -> int | None:
    """The number of the one of several images of the same name whose folders (the parts of its path) have the names of the
    mask's folders; None if no single one has."""
    if len(homes) < 2:
        return 0 if homes else None
    shared = [len((set(home) - set.intersection(*map(set, homes))) & set(mask.parent.parts)) for home in homes]
    best = max(shared)
    return shared.index(best) if best and shared.count(best) == 1 else None


def _add_to_volume(path: Path, item: dict, turned: bool, renamed: Mapping[str, int] | None) -> str:
    """Assign a mask to a whole-volume item; returns the reason if the mask does not fit, otherwise an empty string."""
    image = open_nifti(item["image"] if isinstance(item["image"], str) else item["image"][0])
    problem, axes = mask_on_grid(path, image.shape[:3] if "time" in item else image.shape, image.affine, turned)
    problem = problem or why_unusable(path, renamed)
    if not problem:
        _set_mask(item, path, axes)
    return problem


def _set_mask(item: dict, path: Path, axes: list[list[int]]) -> None:
    """Give an item a mask. What is known of its mask so far, such as the data set's numbers of the structures, does not hold
    for this one."""
    for key in OF_A_MASK:
        item.pop(key, None)
    item |= {"label": str(path)} | ({"label_axes": axes} if axes else {})


def ignored_masks(items: Sequence[dict]) -> dict[str, str]:
    """Maps each mask that contains the value that nnU-Net's ``dataset.json`` calls ignore to the reason why it is no label:
    nobody said what is there. A label map that names the value decides what it becomes."""
    names = cache(names_of_labels)
    found = {}
    for file, item in {item["label"]: item for item in items if "label" in item}.items():
        named = names(Path(file).parents[1] / LISTING).items()
        for value in (
            value for value, name in named if name == "ignore" and str(value) not in item.get("label_map", ())
        ):
            with suppress(InputError):  # those who read the mask report it
                if (read_mask(file)[0] == value).any():
                    found[file] = (
                        f"contains nnU-Net's label ignore ({value}); give --label-map `{value}: 0` for background"
                    )
    return found


def _phase_rank(phase: str | None, stack: Stack, row: dict) -> int | str:
    """The rank of a mask's phase, or the reason why it is unknown."""
    most = stack.cycle
    names = [frame.phase for frame in stack.slices[0].phases]
    if phase in names and phase is not None:
        return names.index(phase)
    if phase is None:
        return 0 if most == 1 else f"the exam has {most} phases and the mask's name gives none: add _ed or _frameNN"
    if phase.startswith("phase"):
        used = named_phases(most)
        return round(int(phase.removeprefix("phase")) * most / 100 / used.step) * used.step
    if phase.startswith("frame"):
        return int(phase.removeprefix("frame")) - 1
    frame = {key.lower(): value for key, value in row.items()}.get(phase.lower())
    if isinstance(frame, int):
        return frame - 1
    if phase == "ED":
        return 0
    return "no header says which phase is end-systole: name the mask _frameNN, or give the frame in a column ES of --classes"


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
) -> tuple[list[tuple[str, str]], list[str]]:
    """Give items the classes of their exam.

    Returns:
        Rows that match no exam, and exams whose rows (by folder and by PatientID, for example) disagree: name and
        reason. Then warnings about rows that each label several exams.
    """
    known = [exam_names(exam, folder) for exam in exams]
    by_name = KnownNames(known)
    rows: dict[str, list[dict]] = defaultdict(list)
    unmatched, several = [], set()
    column = _naming_column(class_rows, exams, known)
    for name, row in class_rows.items():
        found = by_name.find(name)
        matched = {exams[index].name for index in found}
        patients = {exams[index].patient for index in found}
        other = str(row.get(column, ""))
        if other and not matched & {exams[index].name for index in by_name.find(other)}:
            unmatched.append(
                (name, f"the exams are named in the column {column} ({other:.20}): make it the first column")
            )
        elif not matched:
            unmatched.append((name, "no exam has this name (hash, folder or PatientID)"))
        elif len(patients) > 1:
            unmatched.append((name, f"{len(patients)} patients have this name"))
        else:
            several |= patients if len(matched) > 1 else set()
            for exam in matched:
                rows[exam].append(row)
    classes = {}
    for exam, own in rows.items():
        classes[exam], contradicted = _agreed(own)
        if contradicted:
            unmatched.append((exam, _contradiction(contradicted)))
    for item in items:
        item |= classes.get(item["exam"], {})
    if not several:
        return unmatched, []
    return unmatched, [
        f"for {count_of(len(several), 'patient')}, one row of --classes labels several exams: if the exams "
        "differ (two knees, a follow-up), name each exam by its hash or folder"
    ]


def _naming_column(
    class_rows: dict[str, dict], exams: Sequence[Exam | Volume], known: Sequence[set[str]]
) -> str | None:
    """The column of classes that names patients or their exams, if it names more of them exactly than the first column, which
    may count the rows. A column of numbers is only considered if its own name says that it identifies something."""
    patients: dict[str, set[str]] = defaultdict(set)
    for exam, names in zip(exams, known, strict=True):
        for name in names:
            patients[name].add(exam.patient)

    def named(values: Iterable[str]) -> int:
        return sum(len(patients.get(value, ())) == 1 for value in values)

    counts: dict[str | None, int] = {None: named(class_rows)}
    for column in dict.fromkeys(column for row in class_rows.values() for column in row):
        values = {str(row[column]) for row in class_rows.values() if column in row}
        identifies = re.search(r"(?<![a-z])id(?![a-z])|patient|exam|study|folder|hash", column.lower())
        if identifies or not all(value.replace(".", "").isdecimal() for value in values):
            counts[column] = named(values)
    return max(counts, key=counts.__getitem__)
