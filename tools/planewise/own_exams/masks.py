"""The label maps of an exam's phases: the network's, those that a person corrected, and their copies for 3D Slicer."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
from matplotlib.colors import to_rgb

from planewise.errors import InputError
from planewise.exams.volumes import mask_on_grid
from planewise.files.atomic_write import atomic_write
from planewise.files.masks import HEART_STRUCTURES, MASK, corrected_name, corrections, labels_of, set_aside
from planewise.files.nifti import UNREADABLE, open_nifti, write_nifti
from planewise.findings import Finding, finding
from planewise.reports.slices import structure_colour
from planewise.words import listed

#: Label values of the segmentation bundle.
STRUCTURES = HEART_STRUCTURES["sax"]
#: Key of a `.seg.nrrd` file's header with a checksum of the voxels, as written. Programs that edit a file may drop it.
_CHECKSUM = "planewise_checksum"


@dataclass(frozen=True)
class CorrectedMask:
    """The file that a person saved, and its label map ``(i, j, slices)``, uint8, on the grid of the network's mask."""

    file: Path
    labels: np.ndarray


def mask_file(folder: Path, name: str) -> Path:
    """The path at which the segmentation bundle writes the label map of a stack."""
    return folder / name / f"{name}{MASK}.nii.gz"


def read_mask(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The label map ``(i, j, slices)`` that the segmentation bundle wrote for a stack, and its affine; None if there is
    no label map."""
    file = mask_file(folder, name)
    if not file.is_file():
        return None
    mask = open_nifti(file)
    return np.asarray(mask.dataobj).astype(np.uint8), np.asarray(mask.affine)


def corrected_masks(masks: Path, names: Sequence[str]) -> tuple[dict[int, CorrectedMask], list[Finding]]:
    """The newest corrected mask of each phase that has one (`corrections`), by the number of the phase, and a finding on each
    file that cannot be read. A mask in 3D Slicer's format or on another grid is also saved as NIfTI on the network's grid,
    because `planewise index --labels` reads nothing else. ``masks`` has a folder of each phase's name."""
    found: dict[int, CorrectedMask] = {}
    refused = []
    for phase, name in enumerate(names):
        network = mask_file(masks, name)
        *older, file = [None, *corrections(network)]
        if file is None:
            continue
        try:
            labels = read_labels(file, network)
        except InputError as error:
            refused.append(finding("corrected-mask", kind="refused", file=file.name, error=str(error)))
            continue
        grid, time = open_nifti(network), file.stat().st_mtime_ns
        usable = file.suffix != ".nrrd" and mask_on_grid(file, grid.shape, grid.affine, turned=False)[0] is None
        # the copy has the time of its source, so that a later run finds it again
        if not usable and all(copy is None or copy.stat().st_mtime_ns != time for copy in older):
            copy = corrected_name(network, ".nii.gz")
            write_nifti(copy, labels, grid.affine)
            os.utime(copy, ns=(time, time))
        found[phase] = CorrectedMask(file, labels)
    return found, refused


def read_labels(file: Path, network: Path) -> np.ndarray:
    """The label map ``(i, j, slices)`` of a phase, uint8, on the grid of the network's mask.

    Args:
        file: a mask that a person corrected, in any orientation; it may be cropped.
        network: the network's mask.

    Raises:
        InputError: the file cannot be read, has other values, lacks a structure of the network's mask, or has other voxels
            than that mask.
    """
    grid = open_nifti(network)
    try:
        if file.name.endswith(".nrrd"):
            voxels, affine = read_slicer_segmentation(file)
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


def write_slicer_segmentation(
    path: Path, labels: np.ndarray, affine: np.ndarray, structures: Mapping[int, str]
) -> None:
    """Write a label map ``(i, j, slices)`` as a file ``.seg.nrrd`` that 3D Slicer opens without an extension. An earlier file
    that a person changed is kept under another name (`set_aside`).

    Args:
        path: file to write.
        labels: the label map.
        affine: voxel indices to patient space, RAS+, mm.
        structures: label value to name.
    """
    voxels = labels.astype(np.uint8).tobytes(order="F")
    *axes, origin = (np.diag([-1.0, -1.0, 1.0]) @ np.asarray(affine, dtype=float)[:3]).T.tolist()
    # without ITK, which takes two seconds to load
    header = ["NRRD0004", "type: uint8", "dimension: 3", "space: left-posterior-superior", "encoding: gzip"]
    header += [f"sizes: {' '.join(map(str, labels.shape))}", "kinds: domain domain domain"]
    header += [f"space directions: {' '.join(map(_vector, axes))}", f"space origin: {_vector(origin)}"]
    known = {_CHECKSUM: f"{zlib.crc32(voxels):08x}", "Segmentation_MasterRepresentation": "Binary labelmap"}
    for number, (value, name) in enumerate(structures.items()):
        for key, text in (
            ("ID", f"Segment_{value}"),
            ("Name", name),
            ("LabelValue", str(value)),
            ("Layer", "0"),
            ("Color", " ".join(f"{part:.3f}" for part in to_rgb(structure_colour(value)))),
            ("Extent", " ".join(f"0 {size - 1}" for size in labels.shape)),
        ):
            known[f"Segment{number}_{key}"] = text
    header += [f"{key}:={text}" for key, text in known.items()]
    with atomic_write(path, ending=".nrrd") as part:
        part.write_bytes("\n".join([*header, "", ""]).encode() + gzip.compress(voxels, 1, mtime=0))
        if path.is_file() and _is_edited(path):
            set_aside(path, ".seg.nrrd")


def _vector(values: Sequence[float]) -> str:
    return f"({','.join(map(repr, values))})"


def read_slicer_segmentation(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The label map ``(i, j, slices)`` in a file, and its affine, RAS+, mm. The names of the segments determine the values,
    because 3D Slicer may renumber the segments. It may also crop the file.

    Raises:
        InputError: segments overlap, so that they are in several layers, or they are not exactly the structures.
        RuntimeError: the file cannot be read.
    """
    names = listed(STRUCTURES.values())
    try:
        image = itk.imread(str(path))
        layers = image.GetNumberOfComponentsPerPixel()
    except TypeError:  # ITK's Python package has no images of vectors of this length and type
        layers = 0
    if layers != 1:
        raise InputError(
            f"its segments are in several layers, because they overlap or did so; save {names} as one label map"
        )
    known, voxels = dict(image), itk.array_from_image(image).T
    affine = np.eye(4)
    affine[:3, :3] = itk.array_from_matrix(image.GetDirection()) * np.asarray(image.GetSpacing())
    affine[:3, 3] = np.asarray(image.GetOrigin())
    affine[:2] *= -1
    segments = [key.removesuffix("_LabelValue") for key in known if re.fullmatch(r"Segment\d+_LabelValue", key)]
    if not segments:
        return voxels, affine
    values = {known.get(f"{segment}_Name", segment): known[f"{segment}_LabelValue"] for segment in segments}
    labels = np.zeros_like(voxels)
    for value, name in STRUCTURES.items():
        labels[voxels == int(values.get(name, "0"))] = value
    labels[voxels == 0] = 0
    # 3D Slicer may export a selection of the segments; a value without a structure is a segment of another name
    if len({values.get(name) for name in STRUCTURES.values()} - {None}) < len(STRUCTURES) or voxels[labels == 0].any():
        raise InputError(f"it must have the segments {names}, each with a LabelValue of its own, and no others")
    return labels, affine


def _is_edited(path: Path) -> bool:
    """Whether a file differs from every file of `write_slicer_segmentation`, so that a person made or changed it."""
    try:
        image = itk.imread(str(path))
    except (RuntimeError, TypeError):
        return True  # ITK cannot read it, so this module did not write it
    voxels = np.ascontiguousarray(itk.array_view_from_image(image)).tobytes()
    return dict(image).get(_CHECKSUM) != f"{zlib.crc32(voxels):08x}"
