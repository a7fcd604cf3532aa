"""Load a whole stack as a volume, for inference and for evaluation at native spacing."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.image_reader import ImageReader
from monai.transforms import LoadImaged
from monai.utils import ensure_tuple

from planewise.errors import InputError
from planewise.files.arrays import is_array, read_array
from planewise.files.masks import labels_of
from planewise.files.nifti import NO_FILE, UNREADABLE, grid_of_slices, is_nifti, states_orientation, written_affine
from planewise.findings import Finding, finding, said
from planewise.preprocessing.exam_name import exam_of, volume_name
from planewise.preprocessing.load_slice import LoadSliced, NiftiReader, refuse_not_finite, turn_mask

logger = logging.getLogger(__name__)

#: Slices that deviate from even spacing by more than this (mm) are reported, because the output volume has a single
#: spacing. Planes, volumes and mass are computed from the true positions.
EVEN_SPACING = 1.0
#: A gap between two slices counts as missing slices if it is at least this many times the usual gap, and if a slice fits
#: into it: between neighbours that touch, it would be two thicknesses wide; headers round, and slices may overlap a little.
#: Where a stack was acquired again between its slices, these are much closer than usual.
MISSING_GAP, ROOM_FOR_A_SLICE = 1.6, 1.8
#: Slices whose centres are farther apart (mm) give coarse volumes. Routine short-axis cines have slices of 6 to 8 mm
#: with gaps of at most 4 mm (SCMR protocols: Kramer et al., J Cardiovasc Magn Reson 22:17, 2020).
FAR_APART = 12.0
#: Minimum number of slices for determining the usual gap.
MIN_SLICES = 4


class LoadStackd(LoadImaged):
    """Load a stack under each key as a volume ``(i, j, slices)``.

    The value under a key is one of

    - the path of a volume (NIfTI, ...), which MONAI's `LoadImaged` reads; the item's ``time`` selects a phase of a
      cine, its ``label_map`` renames the values of a mask, and its ``label_axes`` turn it. `read_array` reads MRNet's
      ``.npy``;
    - the slices of a stack in order, as items of a datalist, which `LoadSliced` reads one by one. The
      volume gets the affine of the first slice, with the mean spacing; ``slice_affines``, ``(slices, 4, 4)``, contains
      the affine of every slice.

    Writers name their output by the file name in the metadata of the volume. This name is the exam's hash for DICOM and
    for items of a datalist, whose paths may contain a patient's name. For a person's own volume, it is the stem of the
    file, as in MONAI.

    Raises:
        InputError: a volume cannot be read, or has voxels that are not finite. The message identifies the exam by its
            hash.

    Args:
        keys: keys of stacks.
        field_without_spacing: ``field`` of `read_array`, for ``.npy`` volumes; None refuses them.
        label_keys: keys of masks.
        remarks: whether to log missing or unevenly spaced slices.
        loading: further arguments of `LoadImaged`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        field_without_spacing: float | None = None,
        label_keys: KeysCollection = ("label",),
        remarks: bool = True,
        **loading: Any,
    ) -> None:
        super().__init__(keys, **loading)
        self.field_without_spacing = field_without_spacing
        self.label_keys = ensure_tuple(label_keys)
        self.remarks = remarks

    def __call__(self, data: Mapping[Hashable, Any], reader: ImageReader | None = None) -> dict[Hashable, Any]:
        item = dict(data)
        exam, name = exam_of(item), volume_name(item)
        for key, meta_key in self.key_iterator(item, self.meta_keys):
            value = item[key]
            if isinstance(value, (str, Path)) and Path(value).is_dir():
                found = self.in_folder(value)
                value = found.pop("image")
                item |= found
                exam = name = found["exam"]
            if isinstance(value, (str, Path)):
                try:
                    if is_array(value):
                        array, affine = read_array(value, self.field_without_spacing)
                        volume = _volume(torch.from_numpy(array.astype(np.float32)), torch.from_numpy(affine))
                        volume.meta["oriented"] = False
                    else:
                        loaded = self._loader(value, NiftiReader() if is_nifti(value) else reader)
                        volume = loaded[0] if isinstance(loaded, tuple) else loaded
                    if key not in self.label_keys:
                        refuse_not_finite(volume)
                except UNREADABLE as error:
                    # other messages may contain the path, which may include a person's name
                    reason = str(error) if isinstance(error, InputError) else type(error).__name__
                    reason = NO_FILE if isinstance(error, FileNotFoundError) else reason
                    what = "mask" if key in self.label_keys else key
                    raise InputError(f"the volume cannot be read ({reason})", f"exam {exam}, {what}") from error
                stated = states_orientation(volume.meta)
                # a mask of one phase may have kept an axis of time
                one = key in self.label_keys and volume.shape[3:] == (1,)
                if volume.ndim == 4 and ("time" in item or one):
                    volume = _volume(volume.as_tensor()[..., 0 if one else int(item["time"])], volume.affine)
                if not stated:
                    volume.meta["oriented"] = False
                if volume.ndim == 2:  # a single slice is a stack of one
                    meta = {**volume.meta, "spatial_shape": np.array((*volume.shape, 1))}
                    volume = MetaTensor(volume.as_tensor()[..., None], meta=meta)
                if key in self.label_keys and item.get("label_axes"):
                    array, affine = turn_mask(volume.numpy(), volume.affine.numpy(), item["label_axes"])
                    volume = _volume(torch.from_numpy(np.ascontiguousarray(array)), torch.from_numpy(affine))
                if key in self.label_keys:
                    try:
                        labels = labels_of(volume.numpy(), item.get("label_map"))
                    except InputError as error:
                        raise InputError(error.reason, f"exam {exam}, mask") from None
                    volume = MetaTensor(torch.from_numpy(labels).to(volume.dtype), meta=volume.meta)
            else:
                renamed = item.get("label_map") if key in self.label_keys else None
                volume, item["slice_affines"] = load_slices(value, exam, key in self.label_keys, self.remarks, renamed)
            volume.meta["filename_or_obj"] = f"{name}.nii.gz"
            item[key] = volume
            if not self._loader.image_only:
                item[meta_key or f"{key}_{self.meta_key_postfix[0]}"] = volume.meta
        return item

    def in_folder(self, folder: str | Path) -> dict[str, Any]:
        """The item for a folder; `planewise.exams.LoadExamd` finds its stack.

        Raises:
            InputError: this class does not read folders.
        """
        raise InputError(f"{folder} is a folder; name a file, or index the folder and name its datalist")


def load_slices(
    slices: Sequence[Mapping[str, Any]],
    exam: str,
    masks: bool = False,
    remarks: bool = True,
    renamed: Mapping[str, int] | None = None,
) -> tuple[MetaTensor, torch.Tensor]:
    """Load the slices of a stack, or their masks, as a volume.

    Args:
        slices: slices in order, as items of a datalist; the path is always under ``image``, even for masks.
        exam: hash of the exam.
        masks: whether the slices are masks.
        remarks: see `LoadStackd`.
        renamed: label map of the masks.

    Returns:
        The volume ``(i, j, slices)``, with the mean spacing, and the affine of each slice, ``(slices, 4, 4)``.
    """
    load = LoadSliced("image", label_keys=("image",) if masks else ())
    with ThreadPoolExecutor(max_workers=4) as pool:
        loaded = list(pool.map(lambda entry: load({"exam": exam, "label_map": renamed, **entry})["image"], slices))
    affines = torch.stack([image.affine for image in loaded])
    pixels = torch.cat([image.as_tensor()[0] for image in loaded], dim=-1)
    affine = torch.from_numpy(grid_of_slices(affines.numpy()))
    if len(loaded) > 1:
        written = torch.from_numpy(written_affine(affine.numpy(), pixels.shape))
        even = written[:3, 3] + torch.arange(len(loaded), dtype=affine.dtype)[:, None] * written[:3, 2]
        uneven = (affines[:, :3, 3] - even).norm(dim=-1).max()
        if remarks and uneven > EVEN_SPACING:
            logger.warning(
                "exam %s: %sslices deviate by up to %.1f mm from even spacing along their normal, but are written with it",
                exam,
                f"{said(gap)}; " if (gap := missing_slices(affines, slice_thickness(slices))) else "",
                uneven,
            )
    return _volume(pixels, affine), affines


def slice_thickness(slices: Any) -> float:
    """The usual thickness of the slices in their headers, mm; 0 for a volume, whose header has none.

    Args:
        slices: value under the key of a stack, see `LoadStackd`.
    """
    listed = [entry["affine"] for entry in slices if "affine" in entry] if isinstance(slices, list) else []
    return float(np.median(np.linalg.norm(np.array(listed)[:, :3, 2], axis=1))) if listed else 0.0


def missing_slices(affines: torch.Tensor, thickness: float = 0.0) -> list[Finding]:
    """The gaps of a stack in which slices are missing; empty if there are none.

    If the slices at one end of a stack are twice as far apart as the others, every second slice may be missing there, or the
    others may have been acquired again at positions between them. Positions and thickness cannot tell. If slices overlap,
    they count as acquired again; otherwise, slices count as missing. Both kinds of stack are `unevenly_spaced`.

    Args:
        affines: affines of the slices in order, ``(slices, 4, 4)``, RAS+, mm.
        thickness: thickness of the slices, mm; 0 if unknown.
    """
    if len(affines) < MIN_SLICES:
        return []
    gaps = _gaps(affines)
    usual = float(gaps.median())
    wide = torch.nonzero(gaps >= max(MISSING_GAP * usual, ROOM_FOR_A_SLICE * thickness))[:, 0].tolist()
    if not wide:
        return []
    between = [f"{number + 1} and {number + 2}" for number in wide]
    apart = [round(float(gaps[number])) for number in wide]
    return [finding("slices-missing", between=between, count=len(affines), mm=apart, usual=round(usual))]


def own_thickness(affines: torch.Tensor) -> np.ndarray | None:
    """The thickness with which each slice of an unevenly spaced stack counts in volumes, mm: half the distance to each
    neighbour. The outer half of an end slice is as thick as its inner half, but at most half the next distance or half the
    usual one, whichever is larger, so that a gap in which slices are missing does not count on the outer side, too.

    Args:
        affines: affines of the slices in order, ``(slices, 4, 4)``, RAS+, mm.

    Returns:
        Shape ``(slices,)``; None if the slices are evenly spaced, up to `EVEN_SPACING`.
    """
    gaps = _gaps(affines)
    if len(gaps) < 2 or ((gaps - gaps.mean()).cumsum(dim=0)).abs().max() <= EVEN_SPACING:
        return None
    first, last = (min(end, max(after, gaps.median())) for end, after in (gaps[:2], gaps.flip(0)[:2]))
    outwards = torch.stack([first, *gaps, last])
    return ((outwards[1:] + outwards[:-1]) / 2).numpy()


def spacing_findings(affines: torch.Tensor) -> list[Finding]:
    """Findings about a stack whose slices have an `own_thickness`, or are so far apart that volumes are coarse.

    Args:
        affines: affines of the slices in order, ``(slices, 4, 4)``, RAS+, mm.
    """
    if len(affines) < 2:
        return []
    gaps, found = _gaps(affines), []
    if own_thickness(affines) is not None:
        found.append(
            finding("slices-apart", low=round(float(gaps.min()), 1), high=round(float(gaps.max()), 1), kind="uneven")
        )
    # headers round positions, and the protocols' 12 mm are not coarse
    if (apart := float(gaps.median())) > FAR_APART + 0.05:
        found.append(finding("slices-apart", mm=round(apart, 1), usual=FAR_APART, kind="far"))
    return found


def _gaps(affines: torch.Tensor) -> torch.Tensor:
    """Distances between neighbouring slices, mm."""
    normal = torch.linalg.cross(affines[0, :3, 0], affines[0, :3, 1])
    return (affines[:, :3, 3] @ normal / normal.norm()).diff().abs()


def _volume(pixels: torch.Tensor, affine: torch.Tensor) -> MetaTensor:
    """Pixels ``(i, j, slices)`` with the metadata that `LoadImaged` would add."""
    meta = {
        "affine": affine,
        "original_affine": np.asarray(affine),
        "spatial_shape": np.array(pixels.shape),
        "original_channel_dim": "no_channel",
        "space": "RAS",
    }
    return MetaTensor(pixels, meta=meta)  # the metadata contain the affine
