"""Time to score segmented volumes by Dice, surface and contour distances, compared with MONAI's functions on one mask at a
time.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_dice
from monai.metrics.utils import get_edge_surface_distance
from planewise.metrics import volume_scores
from planewise.workshop.phantoms import LABELLED, Recipe, write_exams
from scipy.ndimage import binary_fill_holes
from timing import Bar, Options, interleaved, ratio

DEVICES = ("cpu",)
STRUCTURES = {1: "RV", 2: "myocardium", 3: "LV"}
#: Number of pixels by which the reference is moved to make the prediction.
SHIFT = (2, 1, 0)


def measure(options: Options) -> list[Bar]:
    """Score volumes at their native size, as an evaluation does."""
    with tempfile.TemporaryDirectory() as folder:
        population = LABELLED.at_size("demo") if options.quick else LABELLED
        list(write_exams(Recipe("acdc", 5, population), Path(folder), 1))
        images = [nibabel.load(path) for path in sorted(Path(folder).rglob("*_gt.nii.gz"))]
        volumes = [torch.from_numpy(np.asarray(image.dataobj).astype(np.uint8)) for image in images]
        spacing = [float(size) for size in images[0].header.get_zooms()[:3]]
    moved = [torch.roll(volume, SHIFT, (0, 1, 2)) for volume in volumes]

    def ours() -> list[dict]:
        return [volume_scores(*pair, spacing, STRUCTURES) for pair in zip(moved, volumes, strict=True)]

    def peer() -> list[dict]:
        return [monai_scores(*pair, spacing, STRUCTURES) for pair in zip(moved, volumes, strict=True)]

    times = interleaved({"ours": ours, "monai": peer}, options, warmup=1)
    each = {name: measured.least / len(volumes) * 1e3 for name, measured in times.items()}
    rows, columns, slices = volumes[0].shape
    size = f"{rows} x {columns} x {slices}, {len(STRUCTURES)} structures"
    note = f"{each['ours']:.1f} and {each['monai']:.1f} ms a volume of {size}"
    name = "scores of a volume / scores by MONAI's functions, one structure at a time"
    return [Bar(name, *ratio(times, "ours", "monai"), limit=0.2, note=note)]


def monai_scores(
    prediction: torch.Tensor, reference: torch.Tensor, spacing: list[float], structures: dict[int, str]
) -> dict:
    """The same scores with MONAI's functions; the contour distance is computed slice by slice."""
    scores = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value, name in structures.items():
            found, true = prediction == value, reference == value
            pair = [mask[None, None].float() for mask in (found, true)]
            distances = []
            for one, other in zip(found.unbind(-1), true.unbind(-1), strict=True):
                if one.any() and other.any():
                    filled = [torch.as_tensor(binary_fill_holes(mask.numpy())) for mask in (one, other)]
                    _, directed, _ = get_edge_surface_distance(*filled, spacing=spacing[:2], symmetric=True)
                    distances.append(np.mean([float(distance.mean()) for distance in directed]))
            scores[name] = {
                "dice": float(compute_dice(*pair, include_background=True)),
                "assd": float(
                    compute_average_surface_distance(*pair, include_background=True, symmetric=True, spacing=spacing)
                ),
                "contour": float(np.mean(distances)),
                "missed": False,
            }
    return scores
