"""Dice and the distances between the surfaces of two segmentations, for whole volumes and slice by slice, and the Dice
of whole volumes from predictions for slices, for validation during training.

MONAI's `compute_average_surface_distance` and `get_edge_surface_distance` measure the same distances, but for one mask at
a time. Here, masks are cropped to the structure once, and all slices of a volume share a distance map. `tools/benchmarks`
compares the speed of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced
from monai.transforms.utils import generate_spatial_bounding_box
from monai.utils import evenly_divisible_all_gather
from scipy.ndimage import binary_erosion, binary_fill_holes, distance_transform_edt, generate_binary_structure
from torch import Tensor

from planewise.data.datalist import is_whole_volume
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
    contours and d is the distance from the nearest point of the other contour; then the mean over the slices. As in the
    public code of that group, only slices in which both segmentations have the structure count, and the contours are outer
    contours: of a closed ring of myocardium the epicardium, of an open one, as in 4ch, the whole outline.

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
    box = tuple(
        map(slice, *generate_spatial_bounding_box(np.logical_or.reduce([array != 0 for array in arrays])[None]))
    )
    return [array[box] for array in arrays]


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
    labels = cropped(prediction, reference)
    for value, name in structures.items():
        values = value if isinstance(value, tuple) else (value,)
        found, true = (np.logical_or.reduce([volume == one for one in values]) for volume in labels)
        if not found.any() or not true.any():
            missed = bool(found.any() or true.any())
            away = math.nan if missed else 0.0
            scores[name] = {"dice": float(not missed), "assd": away, "contour": away, "missed": missed}
            continue
        dice = 2 * (found & true).sum() / (found.sum() + true.sum())
        contour = mean_contour_distance(found, true, spacing)
        # all voxels of a single-slice volume are on its surface, so the distance is computed in the plane
        surfaces, sizes = ((found, true), spacing)
        if prediction.shape[-1] == 1:
            surfaces, sizes = (found[..., 0], true[..., 0]), spacing[:2]
        assd = average_surface_distance(*surfaces, sizes)
        scores[name] = {"dice": float(dice), "assd": assd, "contour": contour, "missed": False}
    return scores


class VolumeDice(Metric):
    """Mean Dice over all structures and volumes, on the network's grid (Zhang 2024, section 5.2.2).

    The slices of one exam, stack and phase form a volume, and ``Dice = 2 sum_s |P_s n R_s| / sum_s (|P_s| + |R_s|)``
    includes all of them, with false predictions in slices without the structure. A structure that is absent from both
    prediction and reference scores 1. With several processes, each gets the score over the slices of all processes.

    Args:
        dataset: the evaluator's slices; its ``items`` identify the volume of each slice.
        num_classes: number of classes: the background (0, which is not scored) and the structures.
        regions: class numbers that are scored together (`planewise.metrics.region_classes`); None scores each structure
            separately.
        output_transform: extracts prediction and reference, which are label values ``(B, 1, ...)``, from the engine's
            output.

    The engine's batch must contain ``index`` ``(B,)``, the rows of the slices in the dataset.
    """

    def __init__(
        self,
        dataset: Any,
        num_classes: int,
        output_transform: Callable[[Any], Any] = lambda output: output,
        regions: Sequence[Sequence[int]] | None = None,
    ) -> None:
        numbers: dict[Hashable, int] = {}
        self._volume = torch.tensor([numbers.setdefault(_volume(item), len(numbers)) for item in dataset.items])
        self._regions = [[value] for value in range(1, int(num_classes))] if regions is None else [*map(list, regions)]
        super().__init__(output_transform=output_transform)

    @reinit__is_reduced
    def reset(self) -> None:
        self._counts: list[Tensor] = []
        self._rows: list[Tensor] = []

    @torch.no_grad()
    def iteration_completed(self, engine: Engine) -> None:
        # the slices are identified by MONAI's batch, but not by the output
        batch: Any = engine.state.batch
        self.update((*self._output_transform(engine.state.output), batch["index"]))

    @reinit__is_reduced
    def update(self, output: tuple[Tensor, Tensor, Tensor]) -> None:
        """Add a batch, which consists of prediction, reference, and the rows of the slices in the dataset, ``(B,)``."""
        prediction, reference, rows = output
        # one byte per pixel, because a one-hot encoding in int64 took a third of the validation time
        found, true = (values[:, 0].flatten(1).to(torch.uint8) for values in (prediction, reference))
        counts = []
        for classes in self._regions:
            pixels, truth = (torch.isin(values, values.new_tensor(classes)) for values in (found, true))
            counts.append(torch.stack([2 * (pixels & truth).sum(dim=1), pixels.sum(dim=1) + truth.sum(dim=1)], dim=1))
        self._counts.append(torch.stack(counts, dim=-1))
        self._rows.append(torch.as_tensor(rows))

    def compute(self) -> float:
        """The mean Dice. It is 0 if there was no slice, so that such an epoch does not become the best one."""
        if not self._counts:
            return 0.0
        counts = evenly_divisible_all_gather(torch.cat(self._counts), concat=True).cpu()
        volumes = self._volume[evenly_divisible_all_gather(torch.cat(self._rows), concat=True).cpu()]
        seen, own = volumes.unique(return_inverse=True)
        shared, held = torch.zeros(len(seen), *counts.shape[1:], dtype=counts.dtype).index_add(0, own, counts).unbind(1)
        return float(torch.where(held > 0, shared / held.clamp_min(1), 1.0).mean())


def _volume(item: Mapping[str, Any]) -> Hashable:
    """The key that the slices of one volume share."""
    # slices that were cut from the same NIfTI file belong together; each DICOM slice has its own file
    file = str(item["image"]) if is_whole_volume(item["image"]) else None
    return item["exam"], item.get("stack"), item.get("phase"), item.get("time"), file
