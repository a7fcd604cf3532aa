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
#: Largest label value of a segment.
_LARGEST = 2**16 - 1
#: What to do with a file whose header contradicts itself.
_AGAIN = "save it again with 3D Slicer"


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
    values, because 3D Slicer may renumber the segments. It may also crop the file. If segments overlap, or did so before,
    they are in several layers, along a further axis.

    Args:
        path: the file.
        structures: label value to name.

    Raises:
        InputError: a segment has another name, a structure has no segment, segments overlap, or the header contradicts
            the voxels.
        RuntimeError: the file cannot be read.
    """
    try:
        image = itk.imread(str(path))
    except TypeError:
        # the elements of a vector are layers, and ITK's Python package has no images of vectors of this length and type
        reader = itk.ImageFileReader[itk.VectorImage[itk.US, 3]].New(FileName=str(path))
        reader.Update()
        image = reader.GetOutput()
    known, layers = dict(image), itk.array_from_image(image).T
    if image.GetNumberOfComponentsPerPixel() == 1:
        layers = layers[None]
    if (np.count_nonzero(layers, axis=0) > 1).any():
        raise InputError("its segments overlap; save the structures as one label map without overlaps")
    affine = np.eye(4)
    affine[:3, :3] = itk.array_from_matrix(image.GetDirection())[:3, :3] * np.asarray(image.GetSpacing())[:3]
    affine[:3, 3] = np.asarray(image.GetOrigin())[:3]
    affine[:2] *= -1
    segments = sorted({key.split("_")[0] for key in known if re.match(r"Segment\d+_", key)})
    if not segments:
        return layers.max(axis=0), affine
    values = {name: value for value, name in structures.items()}
    names = [known.get(f"{segment}_Name", "") for segment in segments]
    allowed = {"Layer": range(len(layers)), "LabelValue": range(1, _LARGEST + 1)}
    if len(layers) == 1:  # programs that merge the layers may keep their numbers
        known = known | {f"{segment}_Layer": "0" for segment in segments}
    places = [tuple(_number(known, segment, *rule) for rule in allowed.items()) for segment in segments]
    labels, rest = np.zeros_like(layers[0]), layers.any(axis=0)
    for segment, name, place in zip(segments, names, places, strict=True):
        own = layers[place[0]] == place[1]
        if places.count(place) > 1:
            raise InputError(f"two of its segments have the LabelValue {place[1]}; {_AGAIN}")
        if own.any() and name not in values:
            raise InputError(f"its segment {name or segment} must be named {listed(values, 'or')}")
        labels[own] = values.get(name, 0)
        rest &= ~own
    # 3D Slicer may export a selection of the segments; those that are left out are not empty
    if missing := [name for name in values if name not in names]:
        raise InputError(f"it has no segment {listed(missing, 'or')}; save {listed(values)} in one file")
    if rest.any():
        raise InputError(f"it has the value {layers.max(axis=0)[rest][0]:g}, which no segment has; {_AGAIN}")
    return labels, affine


def _number(known: Mapping[str, str], segment: str, key: str, allowed: range) -> int:
    """A number in the header of a segment."""
    text = known.get(f"{segment}_{key}", "0" if key == "Layer" else "")
    number = int(text) if re.fullmatch(r"\d{1,9}", text) else None
    if number is None or number not in allowed:
        name, rule = known.get(f"{segment}_Name") or segment, f"must be {allowed[0]} to {allowed[-1]}"
        raise InputError(f"the {key} of its segment {name} {rule}, got {text or 'none'}; {_AGAIN}")
    return number


def is_edited(path: Path) -> bool:
    """Whether a file differs from every file of `write_slicer_segmentation`, so that a person made or changed it."""
    try:
        image = itk.imread(str(path))
    except (RuntimeError, TypeError):
        return True  # ITK cannot read it, so this module did not write it
    return dict(image).get(_CHECKSUM) != _checksum(image)


def _checksum(image: itk.Image) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(itk.array_view_from_image(image)).tobytes()):08x}"
