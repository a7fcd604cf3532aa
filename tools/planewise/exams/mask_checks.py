"""Look for mistakes in the masks that an index uses: empty masks, values that no structure has, swapped ventricles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np

from planewise.exams.heart_structures import HEART_STRUCTURES
from planewise.exams.words import some_of
from planewise.unreadable import UNREADABLE

_OF_HEART = {name: value for value, name in HEART_STRUCTURES["sax"].items()}


def mask_doubts(path: str | Path, view: str, renamed: Mapping[str, int] | None = None) -> list[str]:
    """Likely mistakes in a mask, as phrases that follow the mask's name; empty if there is none, or if it cannot be read.

    Args:
        path: the mask, NIfTI.
        view: view of its images; ``"sax"`` and ``"4ch"`` have known structures.
        renamed: the item's ``label_map``.
    """
    try:
        voxels = np.asarray(nibabel.load(path).dataobj)
    except UNREADABLE:
        return []
    if not np.isfinite(voxels).all():
        return ["contains values that are not finite"]
    if (voxels != np.rint(voxels)).any():
        return ["contains values that are not whole numbers: is it a probability map?"]
    mask = voxels.astype(np.int64).reshape(*voxels.shape[:2], -1)
    values, places = np.unique(mask, return_inverse=True)
    new = np.array([int((renamed or {}).get(str(value), value)) for value in values.tolist()])
    mask, found = new[places].reshape(mask.shape), sorted(set(new.tolist()) - {0})
    if not found:
        return ["is empty: every voxel is 0"]
    largest = max(HEART_STRUCTURES.get(view, {}), default=None)
    if found[0] < 0 or (largest is not None and found[-1] > largest) or found == [255]:
        known = f"1 to {largest}" if largest else "1, 2, ..."
        return [
            f"has the values {some_of([str(value) for value in found])}, but the structures are {known} (--label-map)"
        ]
    if view == "sax" and _are_swapped(mask):
        return ["has more myocardium around RV (1) than around LV (3): are the two swapped? (--label-map)"]
    return []


def _are_swapped(mask: np.ndarray) -> bool:
    """Whether the myocardium encloses the structure named RV more than that named LV: it surrounds the left ventricle, and
    touches the right one on one side. The mask is (i, j, slices)."""
    from scipy.ndimage import binary_dilation, generate_binary_structure  # an index without masks starts faster

    cross = generate_binary_structure(2, 1)[..., None]
    shares = []
    for name in ("RV", "LV"):
        structure = mask == _OF_HEART[name]
        around = binary_dilation(structure, cross) & ~structure
        if not around.any():
            return False
        shares.append((mask[around] == _OF_HEART["myocardium"]).mean())
    return bool(shares[0] > shares[1])
