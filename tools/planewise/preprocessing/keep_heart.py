"""The heart alone: everything outside of a mask becomes background, before anything else sees it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, SpatialCrop, generate_spatial_bounding_box
from scipy.ndimage import distance_transform_edt

from planewise.errors import InputError


def widened(mask: torch.Tensor, spacing: Sequence[float], margin: float) -> torch.Tensor:
    """A mask and all pixels whose centres lie within ``margin`` of the centre of one of its own.

    Args:
        mask: ``(i, j)``, bool.
        spacing: mm from pixel to pixel along i and j.
        margin: mm; 0 leaves the mask as it is.

    Returns:
        ``(i, j)``, bool.
    """
    if margin <= 0 or not bool(mask.any()):
        return mask
    apart = distance_transform_edt(~mask.cpu().numpy(), sampling=tuple(spacing))
    # centres at exactly the margin count, whatever the square root rounds to
    return torch.from_numpy(apart <= margin * (1 + 1e-6)).to(mask.device)


class KeepHeartd(MapTransform):
    """Replace what is not heart in a slice by zero, the value that MR gives to air (Nakashima, section 3.1).

    The heart is the union of the ventricles and the myocardium, widened by a margin in the plane. It comes right after the
    loader: a resampling before it would carry pixels from outside the mask into the heart, and a z-score their statistics.

    Args:
        keys: keys of slices, ``(1, i, j, 1)`` with their affine.
        margin: mm by which the mask is widened.
        crop: whether the slice is cut to the box around its heart as well; a later `ResizeWithPadOrCropd` puts the box in the
            middle of an image of zeros.
        labels: values of the mask that are heart (right ventricle, myocardium, left ventricle).
        mask_key: key of the mask, on the slice's grid.
        keep_mask: whether the mask stays in the item (cut as the slice is), for an evaluation that needs it.

    Raises:
        InputError: the item has no mask, it is on another grid, or the slice has no heart in it; the margin is negative.
    """

    def __init__(
        self,
        keys: KeysCollection,
        margin: float = 0.0,
        crop: bool = False,
        labels: Sequence[int] = (1, 2, 3),
        mask_key: str = "label",
        keep_mask: bool = False,
    ) -> None:
        super().__init__(keys)
        if margin < 0:
            raise InputError(f"the mask's margin is {margin} mm; 0 or more is wanted")
        self.margin = float(margin)
        self.crop = crop
        self.labels = tuple(int(value) for value in labels)
        self.mask_key = mask_key
        self.keep_mask = keep_mask

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item = self._kept(item, key)
        if not self.keep_mask:
            item.pop(self.mask_key, None)
        return item

    def _kept(self, item: dict[Hashable, Any], key: Hashable) -> dict[Hashable, Any]:
        image, mask = item[key], item.get(self.mask_key)
        if not isinstance(mask, MetaTensor):
            raise InputError(
                "the item has no mask; predict masks with `planewise segment DATALIST -o FOLDER`, give your own with "
                "`planewise index --labels FOLDER`, or use --images full"
            )
        if mask.shape != image.shape or image.ndim != 4 or image.shape[3] != 1:
            raise InputError(
                f"the mask has shape {tuple(mask.shape)}, the slice {tuple(image.shape)}; one slice (1, i, j, 1) and its "
                "mask on the same grid are wanted"
            )
        heart = torch.isin(mask.as_tensor()[0, :, :, 0].round(), torch.tensor(self.labels, dtype=mask.dtype))
        if not bool(heart.any()):
            raise InputError("the slice has no heart in its mask")
        spacing = image.affine[:3, :2].norm(dim=0).tolist()
        heart = widened(heart, spacing, self.margin)[None, :, :, None]
        kept = torch.where(heart, image.as_tensor(), torch.zeros((), dtype=image.dtype))
        item[key] = MetaTensor(kept, affine=image.affine)
        if self.crop:
            start, end = generate_spatial_bounding_box(heart)
            cut = SpatialCrop(roi_start=start, roi_end=end)
            for name in {key, self.mask_key} if self.keep_mask else {key}:
                item[name] = cut(item[name])
        return item
