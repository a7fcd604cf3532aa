"""Pixels that are read without ITK and nibabel: volumes as ``.npy`` files without geometry (MRNet), plain MR slices, and some
multi-frame DICOM."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from planewise.errors import InputError
from planewise.findings import finding

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Smallest and largest pixel spacing, largest slice thickness, and largest coordinate of a position (mm), beyond which a
#: header is broken: clinical pixels are 0.1 to 10 mm wide, a thick slab is 300 mm and no scanner's table is 10 m long.
SMALLEST_SPACING, LARGEST_SPACING, THICKEST, FARTHEST = 0.02, 50.0, 1000.0, 10_000.0


def is_array(path: str | Path) -> bool:
    """Whether a path belongs to a volume in a bare array (``.npy``)."""
    return str(path).endswith(".npy")


def read_array(path: str | Path, field: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Read an array ``(slices, rows, columns)`` as memory-mapped pixels ``(i, j, slices)``, with i along a row, and an affine
    ``(4, 4)`` that contains only the spacing, mm.

    Args:
        path: path of the file.
        field: assumed length of a slice's longer side, mm, because the file does not contain it; None refuses the file.
    """
    array = open_volume(path)
    if array.ndim != 3:
        raise InputError(finding("array-unusable", kind="shape", shape=array.shape))
    if field is None:
        raise InputError(
            "an .npy volume has no spacing, but this bundle needs the geometry from headers; use a bundle with the setting "
            "field_without_spacing"
        )
    spacing = field / max(array.shape[1:])
    return array.transpose(2, 1, 0), np.diag([spacing, spacing, spacing, 1.0])


def open_volume(path: str | Path) -> np.ndarray:
    """A volume as its file stores it, memory-mapped; an `InputError` without the path if it cannot be read."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(finding("array-unusable", kind="cut" if "mmap" in str(error) else "damaged")) from error


#: What `read_plain_slice` needs: tags with these values, tags with these values if they are there at all, and other tags.
_PLAIN = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
}  # fmt: skip
_UNSCALED = {
    "RescaleSlope": 1, "RescaleIntercept": 0, "NumberOfFrames": 1, "ModalityLUTSequence": None,
    "RealWorldValueMappingSequence": None,
}  # fmt: skip
_SLICE = (
    "BitsStored", "Columns", "HighBit", "ImageOrientationPatient", "ImagePositionPatient", "PixelData", "PixelRepresentation",
    "PixelSpacing", "Rows", "SpacingBetweenSlices",
)  # fmt: skip


def read_plain_slice(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray] | None:
    """Read an uncompressed MR image as ITK does, whose import takes three seconds: pixels ``(columns, rows, 1)`` and affine
    ``(4, 4)``, RAS+, mm; None for any other file."""
    import pydicom

    try:
        # the pixels of a file with many frames are not read here
        data = pydicom.dcmread(path, defer_size="4 MB", specific_tags=[*_PLAIN, *_UNSCALED, *_SLICE])
        if data.file_meta.TransferSyntaxUID not in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"):
            return None
        wanted = _PLAIN | {name: value for name, value in _UNSCALED.items() if name in data}
        if any(data[name].value != value for name, value in wanted.items()):
            return None
        signed, between = int(data.PixelRepresentation), float(data.get("SpacingBetweenSlices", 1))
        pixels = np.frombuffer(data.PixelData, "<i2" if signed else "<u2").reshape(data.Rows, data.Columns).copy()
        across, down = np.array(data.ImageOrientationPatient, dtype=float).reshape(2, 3)
        off = max(abs(across @ across - 1), abs(down @ down - 1), abs(across @ down))
        values = 1 << data.BitsStored  # the bits beyond may be an overlay
        fits = -values * signed <= 2**signed * int(pixels.min()) and 2**signed * int(pixels.max()) < values
        if not (fits and data.HighBit == data.BitsStored - 1 and off < 1e-4 and min(between, *data.PixelSpacing) > 0):
            return None
        # ITK makes the directions perpendicular
        normal = np.cross(across, down)
        normal *= 1 / np.sqrt((normal**2).sum())
        across = np.cross(down, normal)
        across *= 1 / np.sqrt((across**2).sum())
        down = np.cross(normal, across)
        rows, columns = map(float, data.PixelSpacing)
        affine = np.eye(4)
        affine[:3] = np.column_stack([across * columns, down * rows, normal * between, data.ImagePositionPatient])
        affine[:2] *= -1
    except Exception:  # ITK reads it, or gives the reason
        return None
    return pixels.T[..., None], affine


def read_frames(path: str | os.PathLike, only_scaled_apart: bool = False) -> list[np.ndarray]:
    """Read the frames of a multi-frame file in order, ``(columns, rows)`` each, rescaled: ITK does not open some files, and
    applies the first frame's rescale slope and intercept to all frames of others. Empty for a single-frame file, if pydicom
    cannot open it either, and, with ``only_scaled_apart``, if all frames have the same slope and intercept."""
    import pydicom  # imported here, because networks that read NIfTI need no pydicom
    from pydicom.dataset import Dataset

    try:
        dataset = pydicom.dcmread(path)
        if int(dataset.get("NumberOfFrames") or 1) < 2:
            return []
        of_all = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        groups = dataset.get("PerFrameFunctionalGroupsSequence") or [Dataset()] * int(dataset.NumberOfFrames)
        scales = [rescale_of(group, shared) or of_all for group in groups]
        if only_scaled_apart and len(set(scales)) == 1:
            return []
        frames = dataset.pixel_array
        return [frame.T * slope + intercept for frame, (slope, intercept) in zip(frames, scales, strict=True)]
    except Exception:  # if this second attempt fails, too, ITK's reason or result is used
        return []


def rescale_of(group: Dataset, shared: Dataset) -> tuple[float, float] | None:
    """Slope and intercept of a frame of an enhanced file, from its own header or the shared one; None if it has none."""
    names = ("RescaleSlope", "RescaleIntercept")
    slope, intercept = (first_of(group, shared, "PixelValueTransformationSequence", name) for name in names)
    return None if slope is None else (float(slope), float(intercept or 0))


def first_of(group: Dataset, shared: Dataset, sequence: str, keyword: str) -> Any:
    """The frame's own value, or the shared one; None if neither exists."""
    for source in (group, shared):
        items = source.get(sequence)
        if items and items[0].get(keyword) is not None:
            return items[0].get(keyword)
    return None
