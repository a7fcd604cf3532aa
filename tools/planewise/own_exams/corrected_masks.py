"""Find the corrected masks of an exam, and read them on the grid of the images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from planewise.errors import InputError
from planewise.exams.volumes import grid_problem
from planewise.files.masks import labels_of
from planewise.files.nifti import UNREADABLE, open_nifti, write_nifti
from planewise.files.predicted_masks import CORRECTED, MASK, corrected_name, corrections
from planewise.findings import Finding, finding
from planewise.own_exams.heart_bundles import STRUCTURES, mask_file
from planewise.own_exams.slicer_segmentation import read_slicer_segmentation
from planewise.preprocessing.exam_name import volume_name
from planewise.words import listed


@dataclass(frozen=True)
class CorrectedMask:
    """The file that a person saved; this file or a copy as NIfTI on the grid of the network's mask, because `planewise index
    --labels` reads nothing else; and the label map ``(i, j, slices)``, uint8, on that grid."""

    file: Path
    nifti: Path
    labels: np.ndarray


def corrected_in(folders: Iterable[Path]) -> list[str]:
    """The names of the corrected masks in folders, sorted."""
    return sorted(file.name for folder in dict.fromkeys(folders) for file in folder.glob(f"*{CORRECTED}*"))


def mask_folders(name: str, items: Sequence[Mapping[str, Any]], output: Path) -> list[Path]:
    """The folders that may contain masks of an exam."""
    return [output / name, *(folder / volume_name(item) for item in items for folder in (output, output / "masks"))]


def changed_since(record: Path, folders: Iterable[Path]) -> bool:
    """Whether a mask was written after a record: a person saved it, under its own name or as a corrected one."""
    since = record.stat().st_mtime_ns
    patterns = (f"*{MASK}.nii.gz", "*.seg.nrrd", f"*{CORRECTED}*")
    files = (file for folder in folders for pattern in patterns for file in folder.glob(pattern))
    return any(file.stat().st_mtime_ns > since for file in files)


def corrected_masks(masks: Path, names: Sequence[str]) -> tuple[dict[int, CorrectedMask], list[Finding]]:
    """The newest corrected mask of each phase that has one (`corrections`). One in 3D Slicer's format or on another
    grid is also saved as NIfTI on the network's grid.

    Args:
        masks: folder with a folder of each phase.
        names: name of each phase's files, in temporal order.

    Returns:
        Masks by the number of their phase, and a finding on each file that cannot be read.
    """
    found: dict[int, CorrectedMask] = {}
    refused = []
    for phase, name in enumerate(names):
        network = mask_file(masks, name)
        files = corrections(network)
        for file in files[-1:]:
            try:
                labels = read_labels(file, network)
            except InputError as error:
                refused.append(finding("corrected-mask", kind="refused", file=file.name, error=str(error)))
                continue
            nifti, grid = file, open_nifti(network)
            if file.suffix == ".nrrd" or grid_problem(file, grid.shape, grid.affine):
                time = file.stat().st_mtime_ns
                # the copy has the time of its source, so that a later run finds it again
                copies = (copy for copy in files if copy != file and copy.stat().st_mtime_ns == time)
                if (copy := next(copies, None)) is None:
                    copy = corrected_name(network, ".nii.gz")
                    write_nifti(copy, labels, grid.affine)
                    os.utime(copy, ns=(time, time))
                nifti = copy
            found[phase] = CorrectedMask(file, nifti, labels)
    return found, refused


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
        if file.name.endswith(".nrrd"):
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
    places, to_grid = np.argwhere(voxels), np.linalg.inv(grid.affine) @ affine
    exact = nib.affines.apply_affine(to_grid, places)
    nearest = np.rint(exact).astype(int)
    same_size = abs(abs(np.linalg.det(to_grid)) - 1) < 0.01
    if not same_size or (abs(exact - nearest) > 0.1).any() or (nearest < 0).any() or (nearest >= grid.shape).any():
        raise InputError(f"its voxels are not those of {network.name}; save it on the grid of that file")
    labels[tuple(nearest.T)] = voxels[tuple(places.T)]
    return labels
