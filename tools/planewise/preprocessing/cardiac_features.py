"""Compute features of the heart from segmentations at end-diastole and end-systole."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform

from planewise.errors import InputError
from planewise.files.masks import HEART_STRUCTURES, read_mask
from planewise.preprocessing.load_slice import refusals
from planewise.preprocessing.load_stack import own_thickness

#: The features in the order of Khened 2017 (the winner of the challenge), as used by Zhang 2024, section 5.3. ("Patient
#: height and width" in that section is a misprint for height and weight.)
FEATURES = (
    "LV ejection fraction (%)",
    "RV ejection fraction (%)",
    "LV volume at ES (ml)",
    "LV volume at ED (ml)",
    "RV volume at ES (ml)",
    "RV volume at ED (ml)",
    "myocardial mass at ES (g)",
    "myocardial mass at ED (g)",
    "height (cm)",
    "weight (kg)",
)

MYOCARDIAL_DENSITY = 1.05  # g/ml


def cardiac_features(ed: Mapping[str, float], es: Mapping[str, float], height: float, weight: float) -> np.ndarray:
    """Compute the ten features of an exam, ``(10,)``, float32, in the order of `FEATURES`. If a ventricle's volume at
    end-diastole is 0, its ejection fraction is 0, too.

    Args:
        ed, es: volumes of ``RV``, ``myocardium`` and ``LV`` at end-diastole and end-systole, ml.
        height, weight: cm and kg.
    """
    ejection = [100 * (ed[name] - es[name]) / ed[name] if ed[name] > 0 else 0.0 for name in ("LV", "RV")]
    volumes = [phase[name] for name in ("LV", "RV") for phase in (es, ed)]
    masses = [phase["myocardium"] * MYOCARDIAL_DENSITY for phase in (es, ed)]
    return np.array([*ejection, *volumes, *masses, height, weight], dtype=np.float32)


def volumes_ml(
    labels: np.ndarray, affine: np.ndarray, structures: Mapping[int, str], thickness: np.ndarray | None = None
) -> dict[str, float]:
    """Volume of each structure (`slices_ml`) in a label map ``(i, j, slices)``; ``structures`` maps its values to names."""
    counts = {name: (labels == value).sum(axis=(0, 1)) for value, name in structures.items()}
    return {name: slices_ml(count, affine, thickness) for name, count in counts.items()}


def slices_ml(counts: np.ndarray, affine: np.ndarray, thickness: np.ndarray | None = None) -> float:
    """Volume of a structure, ml: its number of voxels times the volume of a voxel, which includes the slice gap.

    Args:
        counts: number of its voxels in each slice, ``(slices,)``.
        affine: ``(4, 4)``, mm, with the mean distance between slices.
        thickness: of each slice, mm, ``(slices,)``; None for evenly spaced slices, which count with their gap.
    """
    if thickness is None:
        return float(counts.sum() * (abs(np.linalg.det(affine[:3, :3])) / 1000))
    return float(np.linalg.norm(np.cross(affine[:3, 0], affine[:3, 1])) * (counts @ thickness) / 1000)


class CardiacFeaturesd(Transform):
    """Write an exam's features under ``image``, ``(10,)``, and the index of its group under ``label``.

    Reads ``ed`` and ``es``, the paths of NIfTI masks (labels 1 RV, 2 myocardium, 3 LV), ``height`` and
    ``weight``, and ``group``, which may be absent. It also uses, and removes, two keys of `pair_phases`: ``label_maps``
    renames the values of masks, and ``slice_affines`` gives the thickness of unevenly spaced slices.

    Args:
        classes: names of the classes, in order.
        other_groups: whether an exam may have a group that is not one of the classes; it gets no ``label``.

    Raises:
        InputError: a mask, the height or the weight is missing, a mask cannot be read, there is an image instead of
            masks, or the group is not one of the classes, unless ``other_groups``.
    """

    def __init__(self, classes: tuple[str, ...], other_groups: bool = False) -> None:
        self.classes = tuple(map(str, classes))
        self.other_groups = other_groups

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        exam = item.get("exam", "?")
        if "image" in item and not {"ed", "es"} & set(item):
            raise InputError(
                "this bundle takes masks, height and weight, not an image; run it with --datalist and --masks"
            )
        volumes, affines, label_maps = {}, item.pop("slice_affines", {}), item.pop("label_maps", {})
        for phase in ("ed", "es"):
            path, about = str(item.get(phase)), f"exam {exam}, mask at {phase.upper()}"
            if not Path(path).is_file():
                raise InputError(f"exam {exam} has no mask at {phase.upper()}; segment the exam first (save_masks)")
            with refusals(about, path):
                volumes[phase] = _volumes(path, label_maps.get(path), affines)
        for name in ("height", "weight"):
            if name not in item:
                raise InputError(f"exam {exam} has no {name}; add it in Info.cfg, or as a column of --classes")
        features = cardiac_features(volumes["ed"], volumes["es"], float(item["height"]), float(item["weight"]))
        item["image"] = torch.from_numpy(features)
        if item.get("group") in self.classes:
            item["label"] = torch.tensor(self.classes.index(item["group"]))
        elif "group" in item and not self.other_groups:
            raise InputError(f"exam {exam}: group must be one of {', '.join(self.classes)}, got {item['group']!r}")
        return item


def _volumes(path: str, label_map: Mapping[str, int] | None, affines: Mapping[int, Any]) -> dict[str, float]:
    """Volume of each structure, ml; ``affines`` maps the slices of a DICOM stack to their affines."""
    labels, affine = read_mask(path, label_map)
    thickness = None
    # a mask with other slices than the stack has its own positions, which are even
    if sorted(affines) == list(range(labels.shape[2])):
        thickness = own_thickness(torch.tensor([affines[frame] for frame in sorted(affines)], dtype=torch.float64))
    return volumes_ml(labels, affine, HEART_STRUCTURES["sax"], thickness)


class RequirePhased(Transform):
    """Raise `InputError` for an item without a ``phase``: a MONAI Label server passes a single image, even if the
    network needs two phases."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if "phase" not in data:
            raise InputError("this bundle takes an exam at ED and ES, not one image; run it with a datalist as --input")
        return dict(data)
