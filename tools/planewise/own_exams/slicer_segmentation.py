"""Write a label map as a segmentation file (``.seg.nrrd``) that 3D Slicer opens without an extension, and read it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import itk
import numpy as np

from planewise.errors import InputError
from planewise.files.atomic_write import atomic_write
from planewise.files.predicted_masks import set_aside
from planewise.reports.segmentation_figures import structure_colour
from planewise.words import listed

#: Key of the header with a checksum of the voxels, as written. Programs that edit a file may drop it.
_CHECKSUM = "planewise_checksum"


def write_slicer_segmentation(
    path: Path, labels: np.ndarray, affine: np.ndarray, structures: Mapping[int, str]
) -> None:
    """Write a label map with the names and colours of its structures. An earlier file that a person changed is kept under
    another name (`set_aside`).

    Args:
        path: file to write; its name ends in ``.seg.nrrd``.
        labels: ``(i, j, slices)``.
        affine: voxel indices to patient space, RAS+, mm.
        structures: label value to name.
    """
    from matplotlib.colors import to_rgb

    image = itk.image_from_array(np.ascontiguousarray(labels.astype(np.uint8).transpose(2, 1, 0)))
    lps = np.diag([-1.0, -1.0, 1.0]) @ np.asarray(affine, dtype=float)[:3]
    spacing = np.linalg.norm(lps[:, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:, 3].tolist())
    image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(lps[:, :3] / spacing)))
    known = image.GetMetaDataDictionary()
    known[_CHECKSUM] = _checksum(image)
    known["Segmentation_MasterRepresentation"] = "Binary labelmap"
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
    with atomic_write(path, ending=".nrrd") as part:
        itk.imwrite(image, str(part), compression=True)
        if path.is_file() and is_edited(path):
            set_aside(path, ".seg.nrrd")


def read_slicer_segmentation(path: Path, structures: Mapping[int, str]) -> tuple[np.ndarray, np.ndarray]:
    """The label map ``(i, j, slices)`` in a file, and its affine, RAS+, mm. The names of the segments determine the
    values, because 3D Slicer may renumber the segments. It may also crop the file.

    Args:
        path: the file.
        structures: label value to name.

    Raises:
        InputError: segments overlap, so that they are in several layers, or they are not exactly the structures.
        RuntimeError: the file cannot be read.
    """
    names = listed(structures.values())
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
    for value, name in structures.items():
        labels[voxels == int(values.get(name, "0"))] = value
    labels[voxels == 0] = 0
    # 3D Slicer may export a selection of the segments; a value without a structure is a segment of another name
    if len({values.get(name) for name in structures.values()} - {None}) < len(structures) or voxels[labels == 0].any():
        raise InputError(f"it must have the segments {names}, each with a LabelValue of its own, and no others")
    return labels, affine


def is_edited(path: Path) -> bool:
    """Whether a file differs from every file of `write_slicer_segmentation`, so that a person made or changed it."""
    try:
        image = itk.imread(str(path))
    except (RuntimeError, TypeError):
        return True  # ITK cannot read it, so this module did not write it
    return dict(image).get(_CHECKSUM) != _checksum(image)


def _checksum(image: itk.Image) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(itk.array_view_from_image(image)).tobytes()):08x}"
