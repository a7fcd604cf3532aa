"""Load a whole stack as a volume, for inference and for evaluation at native spacing."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import LoadImaged
from monai.utils import ensure_tuple

from planewise.errors import InputError
from planewise.files.masks import labels_of
from planewise.files.nifti import grid_of_slices
from planewise.findings import Finding, finding, said
from planewise.preprocessing.exam_name import exam_of, volume_name
from planewise.preprocessing.load_slice import LoadSliced, at_time, read_image, refusals, refuse_not_finite

logger = logging.getLogger(__name__)

#: Slices that deviate from even spacing by more than this (mm) are uneven: volumes and mass come from true positions.
EVEN_SPACING = 1.0
#: A gap between two slices counts as missing slices if it is at least this many times the usual gap, and if a slice fits
#: into it: between neighbours that touch, it would be two thicknesses wide; headers round, and slices may overlap a little.
MISSING_GAP, ROOM_FOR_A_SLICE = 1.6, 1.8
#: Slices whose centres are farther apart (mm) give coarse volumes. Routine short-axis cines have slices of 6 to 8 mm
#: with gaps of at most 4 mm (SCMR protocols: Kramer et al., J Cardiovasc Magn Reson 22:17, 2020).
FAR_APART = 12.0
#: Minimum number of slices for determining the usual gap.
MIN_SLICES = 4


class LoadStackd(LoadImaged):
    """Load a stack under each key as a volume ``(i, j, slices)``.

    The value under a key is one of

    - the path of a volume (`read_image`); the item's ``time`` selects a phase of a cine, its ``label_map`` renames the
      values of a mask, and its ``label_axes`` turn it;
    - the slices of a stack in order, as items of a datalist, which `LoadSliced` reads one by one. The
      volume gets the affine of the first slice, with the mean spacing; ``slice_affines`` ``(slices, 4, 4)`` has all.

    Writers name their output by the file name in the metadata of the volume, which is its `volume_name`. The class derives
    from `LoadImaged` because MONAI Label looks for that class.

    Args:
        keys: keys of stacks.
        field_without_spacing, label_keys, allow_missing_keys: see `LoadSliced`.
        remarks: whether to log missing or unevenly spaced slices.

    Raises:
        InputError: a volume cannot be read, or has voxels that are not finite.
    """

    def __init__(
        self,
        keys: KeysCollection,
        field_without_spacing: float | None = None,
        label_keys: KeysCollection = ("label",),
        remarks: bool = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys=allow_missing_keys)
        self.field_without_spacing = field_without_spacing
        self.label_keys = ensure_tuple(label_keys)
        self.remarks = remarks

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        exam, name = exam_of(item), volume_name(item)
        for key in self.key_iterator(item):
            value, is_mask = item[key], key in self.label_keys
            if isinstance(value, (str, Path)) and Path(value).is_dir():
                found = self.in_folder(value)
                value = found.pop("image")
                item |= found
                exam = name = found["exam"]
            if isinstance(value, (str, Path)):
                with refusals(f"exam {exam}, {'mask' if is_mask else key}", str(value)):
                    volume = self._load(str(value), item, is_mask)
            else:
                renamed = item.get("label_map") if is_mask else None
                volume, item["slice_affines"] = load_slices(value, exam, is_mask, self.remarks, renamed)
            volume.meta["filename_or_obj"] = f"{name}.nii.gz"
            item[key] = volume
            if not self._loader.image_only:
                item[f"{key}_{self.meta_key_postfix[0]}"] = volume.meta
        return item

    def _load(self, path: str, item: Mapping[Hashable, Any], is_mask: bool) -> MetaTensor:
        array, affine, _, oriented = read_image(path, self.field_without_spacing)
        if not is_mask:
            refuse_not_finite(array)
        array, affine = at_time(array, affine, item, is_mask)
        if is_mask:
            array = labels_of(array, item.get("label_map"))
        volume = _volume(torch.from_numpy(np.array(array, dtype=np.float32)), torch.from_numpy(affine))
        if not oriented:
            volume.meta["oriented"] = False
        return volume

    def in_folder(self, folder: str | Path) -> dict[str, Any]:
        """The item for a folder, which this class refuses; `planewise.exams.LoadExamd` finds its stack."""
        raise InputError(f"{folder} is a folder; name a file, or index the folder and name its datalist")


def load_slices(
    slices: Sequence[Mapping[str, Any]],
    exam: str,
    masks: bool = False,
    remarks: bool = True,
    renamed: Mapping[str, int] | None = None,
) -> tuple[MetaTensor, torch.Tensor]:
    """Load slices or masks of a stack as a volume ``(i, j, slices)`` of mean spacing, and their affines ``(slices, 4, 4)``.

    Args:
        slices: slices in order, as items of a datalist; the path is always under ``image``, even for masks.
        exam: hash of the exam.
        masks: whether the slices are masks; ``renamed`` is their label map.
        remarks: see `LoadStackd`.
    """
    load = LoadSliced("image", label_keys=("image",) if masks else ())
    # threads would only wait for each other, because ITK holds Python's lock
    loaded = [load({"exam": exam, "label_map": renamed, **entry})["image"] for entry in slices]
    affines = torch.stack([image.affine for image in loaded])
    pixels = torch.cat([image.as_tensor()[0] for image in loaded], dim=-1)
    found = [*missing_slices(affines, slice_thickness(slices)), *spacing_findings(affines)]
    if remarks and found:
        logger.warning("exam %s: %s; results are written with the mean spacing", exam, said(found))
    return _volume(pixels, torch.from_numpy(grid_of_slices(affines.numpy()))), affines


def slice_thickness(slices: Any) -> float:
    """The usual thickness of a stack's slices (see `LoadStackd`) in their headers, mm; 0 for a volume, whose header has
    none."""
    listed = [entry["affine"] for entry in slices if "affine" in entry] if isinstance(slices, list) else []
    return float(np.median(np.linalg.norm(np.array(listed)[:, :3, 2], axis=1))) if listed else 0.0


def missing_slices(affines: torch.Tensor, thickness: float = 0.0) -> list[Finding]:
    """The gaps of a stack in which slices are missing; empty if there are none.

    If some slices are twice as far apart as the others, every second slice may be missing there, or the others may have been
    acquired again between them. If slices overlap, they count as acquired again; otherwise, slices count as missing.

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
    """Findings about a stack whose slices have an `own_thickness`, or are so far apart that volumes are coarse; see there."""
    if len(affines) < 2:
        return []
    gaps, found = _gaps(affines), []
    if own_thickness(affines) is not None:
        low, high = (round(float(end), 1) for end in gaps.aminmax())
        found.append(finding("slices-apart", low=low, high=high, kind="uneven"))
    # headers round positions, and the protocols' 12 mm are not coarse
    if (apart := float(gaps.median())) > FAR_APART + 0.05:
        found.append(finding("slices-apart", mm=round(apart, 1), usual=FAR_APART, kind="far"))
    return found


def _gaps(affines: torch.Tensor) -> torch.Tensor:
    """Distances between neighbouring slices, mm."""
    normal = torch.linalg.cross(affines[0, :3, 0], affines[0, :3, 1])
    return (affines[:, :3, 3] @ normal / normal.norm()).diff().abs()


def _volume(pixels: torch.Tensor, affine: torch.Tensor) -> MetaTensor:
    """Pixels ``(i, j, slices)``, or with a last axis of channels, with the metadata that MONAI's transforms read."""
    meta = {
        "affine": affine,
        "original_affine": np.asarray(affine),
        "spatial_shape": np.array(pixels.shape),
        "original_channel_dim": "no_channel" if pixels.ndim == 3 else -1,
        "space": "RAS",
    }
    return MetaTensor(pixels, meta=meta)  # the metadata contain the affine
