"""Find the corrected masks of an exam, and read them on the grid of the images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from planewise.errors import InputError
from planewise.exams.mask_checks import label_values
from planewise.exams.words import count_of, listed
from planewise.metrics.implausible_volumes import Flag
from planewise.own_exams.heart_bundles import STRUCTURES, mask_file
from planewise.predicted_masks import BY_HAND, IMAGE, MASK, is_corrected, oldest_first
from planewise.preprocessing.exam_name import volume_name
from planewise.reports.slicer_segmentation import is_edited, read_slicer_segmentation
from planewise.unreadable import UNREADABLE, refuse_claims

#: Maps the ending of each kind of mask that is read to a function that tells whether a person changed a file.
_KINDS = {f"{MASK}.nii.gz": is_corrected, ".seg.nrrd": is_edited}
#: Endings of the other volumes that planewise writes; the folder's name precedes them.
_OTHERS = (f"{IMAGE}.nii.gz", "_lines.nii.gz", "_heatmaps.nii.gz")
#: Smallest overlap of a structure with the network's, as a share of the smaller one: a mask that adds what the network left
#: out contains nearly all of the network's structure. And the largest share of the network's slices without the structure: a
#: correction may take away a slice at either end.
_OVERLAP, _SLICES_LOST = 0.5, 0.25


def by_hand_in(folders: Iterable[Path]) -> list[str]:
    """The names of the masks that people changed and that have another name than the network's."""
    files = (file for folder in dict.fromkeys(folders) for file in folder.glob("*"))
    return sorted(file.name for file in files if BY_HAND in file.name or _is_saved_elsewhere(file))


def _is_saved_elsewhere(file: Path) -> bool:
    """Whether a person saved a mask in a folder of planewise under a name of their own."""
    if file.name in (f"{file.parent.name}{ending}" for ending in (*_KINDS, *_OTHERS)):
        return False
    if file.name.endswith((".nii", ".nii.gz")):
        return is_corrected(file) and bool(label_values(file))
    return file.name.endswith(".seg.nrrd") and is_edited(file)


def said_of_by_hand(names: Sequence[str]) -> list[str]:
    """A sentence without a full stop that names the masks of `by_hand_in`, which are kept but not used; none for no masks."""
    if not names:
        return []
    are = "is" if len(names) == 1 else "are"
    return [
        f"{count_of(len(names), 'mask')} changed by hand {are} kept as {', '.join(names)}; "
        "all volumes, pictures and DICOM files come from the network's masks"
    ]


def mask_folders(name: str, items: Sequence[Mapping[str, Any]], output: Path) -> list[Path]:
    """The folders that may contain masks of an exam."""
    return [output / name, *(folder / volume_name(item) for item in items for folder in (output, output / "masks"))]


def changed_since(record: Path, folders: Iterable[Path]) -> bool:
    """Whether a person has changed a mask since a record was written, under its own name or as one of `by_hand_in`."""
    since = record.stat().st_mtime_ns
    files = [file for folder in folders for file in folder.glob("*") if file.stat().st_mtime_ns > since]
    return any(
        file.name in by_hand_in([file.parent])
        or any(file.name.endswith(ending) and test(file) for ending, test in _KINDS.items())
        for file in files
    )


def corrected_masks(masks: Path, names: Sequence[str]) -> tuple[dict[int, Path], list[str]]:
    """The newest readable mask that a person corrected, for each phase that has one.

    Args:
        masks: folder with a folder of each phase.
        names: name of each phase's files, in temporal order.

    Returns:
        Files by the number of their phase, and a sentence without a full stop on each file that cannot be read or has
        another name.
    """
    found: dict[int, Path] = {}
    refused = []
    for phase, name in enumerate(names):
        patterns = (f"{escape(name)}{ending.replace('.', f'{BY_HAND}*.', 1)}" for ending in _KINDS)
        files = [file for pattern in patterns for file in (masks / name).glob(pattern)]
        for file in reversed(oldest_first(files)):
            try:
                read_labels(file)
            except InputError as error:
                refused.append(f"{file.name} is not measured: {error}")
            else:
                found[phase] = file
                break
        others = set(by_hand_in([masks / name])) - {file.name for file in files}
        right = f"save a mask of this phase as {name}{MASK}{BY_HAND}.nii.gz or {name}{BY_HAND}.seg.nrrd"
        refused += [f"{other} is not measured: {right}" for other in sorted(others) if not other.endswith(".dcm")]
    return found, refused


def read_labels(file: Path) -> np.ndarray:
    """The label map ``(i, j, slices)`` of a phase, uint8, on the grid of the network's mask in the same folder.

    Args:
        file: that mask, or one that a person corrected, in any orientation; it may be cropped.

    Raises:
        InputError: the file cannot be read, has other values, lacks a structure of the network's mask, or has other voxels
            than that mask.
    """
    grid: Any = nib.load(mask_file(file.parent.parent, file.parent.name))
    try:
        if file.name.endswith(".nrrd"):
            voxels, affine = read_slicer_segmentation(file, STRUCTURES)
        else:
            refuse_claims(file)
            image: Any = nib.load(file)
            voxels, affine = np.asarray(image.dataobj), image.affine
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError("it cannot be read") from error
    if voxels.ndim == 4 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim != 3:
        raise InputError(f"it has {voxels.ndim} axes; save the structures as one label map without overlaps")
    if others := set(np.unique(voxels).tolist()) - {0, *STRUCTURES}:
        values = listed(f"{value} ({name})" for value, name in STRUCTURES.items())
        raise InputError(f"it contains the value {min(others):g}; the values of the structures are {values}")
    erased = set(np.unique(np.asarray(grid.dataobj)).tolist()) - set(np.unique(voxels).tolist()) - {0}
    if missing := [f"{name} ({value})" for value, name in STRUCTURES.items() if value in erased]:
        raise InputError(
            f"it has no {listed(missing, 'or')}, unlike the network's mask; save all structures in one file"
        )
    places, to_grid = np.argwhere(voxels), np.linalg.inv(grid.affine) @ affine
    exact = nib.affines.apply_affine(to_grid, places)
    nearest = np.rint(exact).astype(int)
    same_size = abs(abs(np.linalg.det(to_grid)) - 1) < 0.01
    if not same_size or (abs(exact - nearest) > 0.1).any() or (nearest < 0).any() or (nearest >= grid.shape).any():
        raise InputError(
            f"its voxels are not those of {Path(grid.get_filename()).name}; save it on the grid of that file"
        )
    labels = np.zeros(grid.shape, np.uint8)
    labels[tuple(nearest.T)] = voxels[tuple(places.T)]
    return labels


def marks_of(corrected: Mapping[int, Path]) -> list[Flag]:
    """A mark for each corrected mask, as a flag of its phase: `flags_of` finds the numbers that come from the mask."""
    structures = tuple(STRUCTURES.values())
    return [
        Flag(structures, "volume", phase, f"from a mask that a person corrected: {file.name}")
        for phase, file in sorted(corrected.items())
    ]


def doubts_of(
    corrected: Mapping[int, Path], labels: Sequence[np.ndarray], networks: Sequence[np.ndarray]
) -> list[Flag]:
    """Flags on corrected masks that may be incomplete or mirrored, or have two structures swapped.

    Args:
        corrected: files by the number of their phase.
        labels, networks: the label map of each phase that is measured, and the network's, ``(i, j, slices)``.
    """
    flags = []
    for phase, file in sorted(corrected.items()):
        doubts: dict[str, list[str]] = {}
        for value, name in STRUCTURES.items():
            own, network = labels[phase] == value, networks[phase] == value
            if (own & network).sum() < _OVERLAP * min(own.sum(), network.sum()):
                text = "hardly any overlap with the network's {}: is {} mirrored, or are two of its values swapped?"
                doubts.setdefault(text, []).append(name)
                continue
            slices = network.any(axis=(0, 1))
            lost, count = (slices & ~own.any(axis=(0, 1))).sum(), slices.sum()
            if lost > _SLICES_LOST * count:
                text = f"no {{}} in {lost} of the {count} slices that show it in the network's mask: is {{}} complete?"
                doubts.setdefault(text, []).append(name)
        flags += [
            Flag(tuple(names), "volume", phase, text.format(listed(names, "or"), file.name))
            for text, names in doubts.items()
        ]
    return flags
