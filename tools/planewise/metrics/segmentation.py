"""Dice and the distances between the surfaces of two segmentations, for whole volumes and slice by slice.

MONAI's `compute_average_surface_distance` and `get_edge_surface_distance` measure the same distances, but for one mask at
a time. Here, masks are cropped to the structure once, and all slices of a volume share a distance map. `tools/benchmarks`
compares the speed of both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from scipy.ndimage import binary_erosion, binary_fill_holes, distance_transform_edt, generate_binary_structure
from torch import Tensor

from planewise.errors import InputError

Mask: TypeAlias = Tensor | np.ndarray
#: Neighbours within a slice.
_IN_PLANE = generate_binary_structure(2, 1)[..., None]
#: Assumed distance between slices, mm. It is so large that the nearest point of a contour is always in the same slice.
_APART = 1e4


def average_surface_distance(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """Average symmetric surface distance, mm: the mean distance of the surface voxels of each mask from the other surface.

    Args:
        prediction, reference: masks of one structure ``(i, j)`` or ``(i, j, slices)``; neither may be empty.
        spacing: spacing along each axis, mm.
    """
    masks = [mask.astype(bool) for mask in cropped(prediction, reference)]
    surfaces = [mask & ~binary_erosion(mask) for mask in masks]
    distances = [to_other[own] for own, to_other in _to_the_other(surfaces, spacing)]
    return float(np.concatenate(distances).mean())


def mean_contour_distance(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """Mean contour distance of a volume, mm (Bai et al., JCMR 20:65, 2018, used by Bai 2019, Fig. 4).

    For each slice, ``1 / (2 |A|) sum_(p in A) d(p, B) + 1 / (2 |B|) sum_(q in B) d(q, A)``, where A and B are the two
    contours and d is the distance from the nearest point of the other contour; then the mean over the slices. Unlike in
    the average symmetric surface distance, both directions have equal weight, whatever the lengths of the contours.

    As in the public code of that group, only slices in which both segmentations have the structure count, and the
    contours are outer contours. If the myocardium is a closed ring, its outer contour is the epicardium; if it is open,
    as in 4ch, it is the whole outline.

    Args:
        prediction, reference: masks of one structure ``(i, j, slices)``.
        spacing: spacing of the pixels along i and j, mm.

    Returns:
        Millimetres; NaN if no slice has the structure in both masks.
    """
    found, true = (mask.astype(bool) for mask in cropped(prediction, reference))
    both = found.any((0, 1)) & true.any((0, 1))
    if not both.any():
        return math.nan
    filled = [binary_fill_holes(mask[..., both], _IN_PLANE) for mask in (found, true)]
    contours = [mask & ~binary_erosion(mask, _IN_PLANE) for mask in filled]
    distances = [
        (to_other * own).sum((0, 1)) / own.sum((0, 1))
        for own, to_other in _to_the_other(contours, (*spacing[:2], _APART))
    ]
    return float(np.mean(distances))


def cropped(*volumes: Tensor | np.ndarray) -> list[np.ndarray]:
    """Crop masks or label maps of the same shape to the smallest box that contains all values other than zero."""
    arrays = [volume if isinstance(volume, np.ndarray) else volume.cpu().numpy() for volume in volumes]
    either = np.logical_or.reduce([array != 0 for array in arrays])
    box: list[slice] = []
    for axis in range(either.ndim):
        there = np.flatnonzero(either.any(tuple(other for other in range(either.ndim) if other != axis)))
        box.append(slice(there[0], there[-1] + 1) if len(there) else slice(0))
    return [array[tuple(box)] for array in arrays]


def _to_the_other(surfaces: Sequence[np.ndarray], spacing: Sequence[float]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pair each of two surfaces with a map of the distances from the other surface, mm."""
    sampling = [float(size) for size in spacing]
    to_first, to_second = (distance_transform_edt(~surface, sampling=sampling) for surface in surfaces)
    return [(surfaces[0], to_second), (surfaces[1], to_first)]


def region_values(
    structures: Mapping[int | str, str], regions: Mapping[str, Sequence[str]]
) -> dict[tuple[int, ...], str]:
    """The label values of each region, or of each structure if there are no regions.

    Args:
        structures: maps label values to names, such as ``{1: "core", 2: "oedema", 4: "enhancing"}``.
        regions: maps the name of each region to the names of its structures, such as
            ``{"WT": ["core", "oedema", "enhancing"]}``.

    Returns:
        Maps the label values of each region or structure to its name.

    Raises:
        InputError: a region has an unknown structure.
    """
    values = {name: int(value) for value, name in structures.items()}
    unknown = sorted({part for parts in regions.values() for part in parts} - values.keys())
    if unknown:
        raise InputError(
            f"the regions contain unknown structures ({', '.join(unknown)}); use only {', '.join(values)} in --regions, or "
            'score each structure by itself with --regions "{}"'
        )
    if not regions:
        return {(value,): name for name, value in values.items()}
    return {tuple(values[part] for part in parts): name for name, parts in regions.items()}


def region_classes(structures: Mapping[int | str, str], regions: Mapping[str, Sequence[str]]) -> list[tuple[int, ...]]:
    """The network's class numbers of each region or structure. Structures are numbered in order, from 1."""
    return list(region_values(dict(enumerate(structures.values(), start=1)), regions))


def volume_scores(
    prediction: Tensor,
    reference: Tensor,
    spacing: Sequence[float],
    structures: Mapping[int, str] | Mapping[tuple[int, ...], str],
) -> dict[str, dict[str, float | bool]]:
    """Scores of one volume as a whole, as in the ACDC challenge (Zhang 2024, section 5.2.2).

    Args:
        prediction, reference: label values, shape ``(i, j, slices)``.
        spacing: spacing of the voxels along the three axes, including the slice distance, mm.
        structures: maps label values to names; a region has several values (`planewise.metrics.region_values`).

    Returns:
        For each structure, ``dice``, ``assd`` (mm), ``contour`` (mm, see `mean_contour_distance`) and ``missed``. If both
        masks are empty, Dice is 1 and the distances are 0. If one mask is empty, Dice is 0, ``missed`` is true, and the
        distances are NaN, because any other value would bias the mean. If no slice has the structure in both masks,
        ``contour`` is NaN, too. For a single slice, ``assd`` is the distance between the contours in its plane.
    """
    scores: dict[str, dict[str, float | bool]] = {}
    of_one_slice = prediction.shape[-1] == 1
    labels = cropped(prediction, reference)
    for value, name in structures.items():
        values = value if isinstance(value, tuple) else (value,)
        found, true = (np.logical_or.reduce([volume == one for one in values]) for volume in labels)
        if not found.any() and not true.any():
            scores[name] = {"dice": 1.0, "assd": 0.0, "contour": 0.0, "missed": False}
            continue
        if not found.any() or not true.any():
            scores[name] = {"dice": 0.0, "assd": math.nan, "contour": math.nan, "missed": True}
            continue
        dice = 2 * (found & true).sum() / (found.sum() + true.sum())
        contour = mean_contour_distance(found, true, spacing)
        # all voxels of a single-slice volume are on its surface, so the distance is computed in the plane
        if of_one_slice:
            assd = average_surface_distance(found[..., 0], true[..., 0], spacing[:2])
        else:
            assd = average_surface_distance(found, true, spacing)
        scores[name] = {"dice": float(dice), "assd": assd, "contour": contour, "missed": False}
    return scores
