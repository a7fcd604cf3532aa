"""Find the corrected masks of an exam, and read them on the grid of the images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from planewise.errors import InputError
from planewise.exams.dicom_segmentation import read_dicom_segmentation
from planewise.exams.mask_checks import correction_doubts, label_values, labels_of
from planewise.exams.volumes import grid_problem
from planewise.exams.words import count_of, listed
from planewise.metrics.implausible_volumes import ENOUGH_PHASES, Flag
from planewise.nifti_files import UNREADABLE, is_nifti, open_nifti, write_nifti
from planewise.own_exams.dicom_results import NAMES, REPORT, SEGMENTATION, is_own
from planewise.own_exams.heart_bundles import STRUCTURES, mask_file
from planewise.predicted_masks import BY_HAND, IMAGE, MASK, by_hand_name, is_corrected, oldest_first
from planewise.preprocessing.exam_name import volume_name
from planewise.reports.slicer_segmentation import is_edited, read_slicer_segmentation

#: Maps the ending of each kind of mask that is read to a function that tells whether a person changed a file.
_KINDS = {f"{MASK}.nii.gz": is_corrected, ".seg.nrrd": is_edited, SEGMENTATION: lambda file: not is_own(file)}
#: Endings of the volumes that planewise writes; the folder's name precedes them.
_OWN = (f"{MASK}.nii.gz", ".seg.nrrd", f"{IMAGE}.nii.gz", "_lines.nii.gz", "_heatmaps.nii.gz")
#: Endings of other files in which programs save masks.
_OTHERS = (".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".dcm")
#: Label values of the segments in DICOM files.
_VALUES = {name: value for value, short in STRUCTURES.items() for name in (short, NAMES[short])}
#: A corrected LV seems to belong to another phase if its Dice coefficient with the network's LV of that phase is at least the
#: first number, and exceeds those with the LVs of its own phase and of the phases next to it by more than the second.
_OTHER_PHASE, _FITS_BETTER = 0.85, 0.15
_CAUSE = "corrected mask"


@dataclass(frozen=True)
class CorrectedMask:
    """The file that a person saved; this file or a copy as NIfTI on the grid of the network's mask, because `planewise index
    --labels` reads nothing else; and the label map ``(i, j, slices)``, uint8, on that grid."""

    file: Path
    nifti: Path
    labels: np.ndarray


def by_hand_in(folders: Iterable[Path]) -> list[str]:
    """The names of the masks that people changed and that have another name than the network's."""
    files = (file for folder in dict.fromkeys(folders) for file in folder.glob("*"))
    return sorted(
        file.name for file in files if (BY_HAND in file.name or _is_saved_elsewhere(file)) and not _is_checked(file)
    )


def _is_checked(file: Path) -> bool:
    """Whether a file is an unchanged copy of the network's mask in its folder, which means that a person checked it."""
    network: Any = file.with_name(f"{file.parent.name}{MASK}.nii.gz")
    try:
        return _may_be_a_copy(file, network) and np.array_equal(open_nifti(file).dataobj, open_nifti(network).dataobj)
    except UNREADABLE:
        return False


def _is_saved_elsewhere(file: Path) -> bool:
    """Whether a person saved a mask in a folder of planewise under a name of their own."""
    folder = file.parent.name
    if file.name in (f"{folder}{ending}" for ending in _OWN):
        return False
    if file.name.endswith((".nii", ".nii.gz")):
        return is_corrected(file) and bool(label_values(file))
    if file.name.endswith(".seg.nrrd"):
        return is_edited(file)
    # the names of planewise's DICOM files begin with something else
    own = file.name.endswith((SEGMENTATION, REPORT)) and not file.name.startswith(folder)
    return file.name.lower().endswith(_OTHERS) and not own


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


def corrected_masks(
    masks: Path, names: Sequence[str], dicom: Path, shorts: Sequence[str]
) -> tuple[dict[int, CorrectedMask], list[str]]:
    """The newest readable mask that a person corrected, for each phase that has one. If its voxels are those of the network's
    mask, a person only checked that mask, so the phase has no corrected mask. Even then, the mask is saved as NIfTI for
    `planewise index`.

    Args:
        masks: folder with a folder of each phase.
        names: name of each phase's files, in temporal order.
        dicom: folder of the exam's DICOM files.
        shorts: name of each phase's DICOM files, without the ending.

    Returns:
        Masks by the number of their phase, and a sentence without a full stop on each file that cannot be read or has
        another name.
    """
    found: dict[int, CorrectedMask] = {}
    refused = []
    right = f"save a DICOM SEG of one phase under a name like {shorts[0]}{BY_HAND}{SEGMENTATION}"
    unused = {name: right for name in by_hand_in([dicom]) if not name.endswith(REPORT)}
    for phase, (name, short) in enumerate(zip(names, shorts, strict=True)):
        network = mask_file(masks, name)
        right = f"save a mask of this phase as {name}{MASK}{BY_HAND}.nii.gz or {name}{BY_HAND}.seg.nrrd"
        unused |= dict.fromkeys(by_hand_in([network.parent]), right)
        patterns = [ending.replace(".", f"{BY_HAND}*.", 1) for ending in _KINDS]
        patterns += [f"{MASK}.nii", f"{MASK}{BY_HAND}*.nii"]
        files = [file for pattern in patterns for file in network.parent.glob(f"{escape(name)}{pattern}")]
        files += dicom.glob(f"{escape(short)}{BY_HAND}*{SEGMENTATION}")
        read: dict[Path, np.ndarray] = {}
        for file in reversed(oldest_first(files)):
            unused.pop(file.name, None)
            try:
                read[file] = read_labels(file, network)
            except InputError as error:
                if not read:
                    refused.append(f"{file.name} is not measured: {error}")
        if read:
            labels = next(iter(read.values()))
            same = [file for file, own in read.items() if np.array_equal(own, labels)]
            copies = [file for file in read if _may_be_a_copy(file, network)]
            nifti, grid = copies[0] if copies else None, open_nifti(network)
            if nifti is None or nifti not in same:
                nifti = by_hand_name(network, ".nii.gz")
                write_nifti(nifti, labels, grid.affine)
            if not np.array_equal(labels, np.asarray(grid.dataobj)):
                # a copy is newer than the file that the person saved
                found[phase] = CorrectedMask(next((file for file in same if file not in copies), nifti), nifti, labels)
    return found, refused + [f"{name} is not measured: {right}" for name, right in unused.items()]


def _may_be_a_copy(file: Path, network: Path) -> bool:
    """Whether `planewise index --labels` can use a corrected mask: it is a NIfTI file with the network's grid, and a name
    that says who made it."""
    grid = open_nifti(network)
    return is_nifti(file) and BY_HAND in file.name and not grid_problem(file, grid.shape, grid.affine)


def read_labels(file: Path, network: Path) -> np.ndarray:
    """The label map ``(i, j, slices)`` of a phase, uint8, on the grid of the network's mask.

    Args:
        file: the network's mask, or one that a person corrected, in any orientation; it may be cropped.
        network: the network's mask.

    Raises:
        InputError: the file cannot be read, has other values, lacks a structure of the network's mask, or has other voxels
            than that mask.
    """
    grid = open_nifti(network)
    try:
        if file.name.endswith(SEGMENTATION):
            voxels, affine = read_dicom_segmentation(file, _VALUES)
            affine[:, :, 2] = grid.affine[:, 2]  # a frame's affine lacks the distance to the next frame
        elif file.name.endswith(".nrrd"):
            voxels, affine = read_slicer_segmentation(file, STRUCTURES)
        else:
            image = open_nifti(file)
            voxels, affine = np.asarray(image.dataobj), image.affine
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError("it cannot be read; save it again") from error
    if voxels.ndim == 4 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim != 3:
        raise InputError(f"it has {voxels.ndim} axes; save the structures as one label map without overlaps")
    voxels = labels_of(voxels)
    if others := set(np.unique(voxels).tolist()) - {0, *STRUCTURES}:
        values = listed(f"{value} ({name})" for value, name in STRUCTURES.items())
        raise InputError(f"it contains the value {min(others):g}; the values of the structures are {values}")
    erased = set(np.unique(np.asarray(grid.dataobj)).tolist()) - set(np.unique(voxels).tolist()) - {0}
    if missing := [f"{name} ({value})" for value, name in STRUCTURES.items() if value in erased]:
        raise InputError(
            f"it has no {listed(missing, 'or')}, unlike the network's mask; save all structures in one file"
        )
    labels = np.zeros(grid.shape, np.uint8)
    parts = [(voxels, affine)] if affine.ndim == 2 else zip(np.split(voxels, len(affine), axis=2), affine, strict=True)
    for part, of_part in parts:
        places, to_grid = np.argwhere(part), np.linalg.inv(grid.affine) @ of_part
        exact = nib.affines.apply_affine(to_grid, places)
        nearest = np.rint(exact).astype(int)
        same_size = abs(abs(np.linalg.det(to_grid)) - 1) < 0.01
        if not same_size or (abs(exact - nearest) > 0.1).any() or (nearest < 0).any() or (nearest >= grid.shape).any():
            raise InputError(f"its voxels are not those of {network.name}; save it on the grid of that file")
        if labels[tuple(nearest.T)].any():
            raise InputError("two of its segments overlap; save one phase, without overlaps")
        labels[tuple(nearest.T)] = part[tuple(places.T)]
    return labels


def marks_of(corrected: Mapping[int, CorrectedMask]) -> list[Flag]:
    """A mark for each corrected mask, as a flag of its phase: `flags_of` finds the numbers that come from the mask."""
    structures = tuple(STRUCTURES.values())
    return [
        Flag(structures, "volume", phase, f"from a mask that a person corrected: {mask.file.name}")
        for phase, mask in sorted(corrected.items())
    ]


def doubts_of(
    corrected: Mapping[int, CorrectedMask], networks: Sequence[np.ndarray], names: Sequence[str]
) -> list[Flag]:
    """Flags on corrected masks that seem to be incomplete or mirrored, to belong to another phase, or to have two structures
    swapped.

    Args:
        corrected: masks by the number of their phase.
        networks: the network's label map of each phase, ``(i, j, slices)``.
        names: name of each phase.
    """
    flags = []
    for phase, mask in sorted(corrected.items()):
        if (other := _belongs_to(mask.labels, networks, phase)) is not None:
            text = (
                f"the LV of {mask.file.name} fits the network's LV of {names[other]} much better than that of "
                f"{names[phase]}: was the mask saved under the wrong phase?"
            )
            flags.append(Flag(tuple(STRUCTURES.values()), "volume", phase, text, cause=_CAUSE))
            continue
        flags += [
            Flag(tuple(concerned), "volume", phase, f"{mask.file.name} {text}", cause=_CAUSE)
            for concerned, text in correction_doubts(mask.labels, networks[phase], STRUCTURES)
        ]
    return flags


def _belongs_to(labels: np.ndarray, networks: Sequence[np.ndarray], phase: int) -> int | None:
    """The phase to which a label map seems to belong instead of its own phase; None if it may belong to its own.

    If the network fails in the mask's own phase, a true mask still fits the network's masks of the phases next to it. So
    these count, too, if the cycle has enough phases.
    """
    value, count = next(value for value, name in STRUCTURES.items() if name == "LV"), len(networks)
    own = labels == value
    fits = [2 * (own & other).sum() / max(own.sum() + other.sum(), 1) for other in (net == value for net in networks)]
    near = {(phase + step) % count for step in ((-1, 0, 1) if count >= ENOUGH_PHASES else (0,))}
    best = int(np.argmax(fits))
    better = fits[best] > max(fits[number] for number in near) + _FITS_BETTER
    return best if better and fits[best] >= _OTHER_PHASE else None
