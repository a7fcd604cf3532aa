"""Keep only the heart in an image: before any other transform, everything outside a mask becomes background."""

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
    """Extend a mask ``(i, j)``, bool, by all pixels whose centres are at most ``margin`` (mm) from the centre of a
    pixel of the mask; ``spacing`` of pixels along i and j, mm."""
    if margin <= 0 or not bool(mask.any()):
        return mask
    apart = distance_transform_edt(~mask.cpu().numpy(), sampling=tuple(spacing))
    # the tolerance includes centres at exactly the margin, whose distance is a rounded square root
    return torch.from_numpy(apart <= margin * (1 + 1e-6)).to(mask.device)


class KeepHeartd(MapTransform):
    """Set everything outside the heart in a slice to zero, the value of air in MR (Nakashima 2022, section 3.1).

    The heart is the union of the ventricles and the myocardium, widened by a margin in the plane. This transform must
    follow the loader directly: if the slice were resampled first, pixels from outside the mask would be mixed into the
    heart, and if it were standardised first, they would affect the statistics. The mask is removed from the item.

    Args:
        keys: keys of slices, ``(1, i, j, 1)`` with their affine.
        margin: width by which the mask is extended, mm.
        crop: whether the slice is also cropped to the bounding box of its heart; a later `ResizeWithPadOrCropd` centres
            the box in an image of zeros.
        labels: label values of the heart in the mask, under ``label`` (right ventricle, myocardium, left ventricle).

    Raises:
        InputError: the item has no mask, the mask has another grid or shows no heart, or the margin is negative.
    """

    def __init__(
        self, keys: KeysCollection, margin: float = 0.0, crop: bool = False, labels: Sequence[int] = (1, 2, 3)
    ) -> None:
        super().__init__(keys)
        if margin < 0:
            raise InputError(f"the margin around the mask must be 0 mm or more, got {margin}")
        self.margin = float(margin)
        self.crop = crop
        self.labels = tuple(int(value) for value in labels)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        mask = item.pop("label", None)
        for key in self.key_iterator(item):
            item[key] = self._kept(item[key], mask)
        return item

    def _kept(self, image: MetaTensor, mask: Any) -> MetaTensor:
        if not isinstance(mask, MetaTensor):
            raise InputError(
                "the item has no mask; predict masks with `planewise segment DATALIST -o FOLDER`, add your own with "
                "`planewise index --labels FOLDER`, or use --images full"
            )
        if mask.shape != image.shape or image.ndim != 4 or image.shape[3] != 1:
            raise InputError(
                f"the mask has shape {tuple(mask.shape)} and the slice {tuple(image.shape)}; both must be single slices (1,"
                " i, j, 1) on the same grid"
            )
        heart = torch.isin(mask.as_tensor()[0, :, :, 0].round(), torch.tensor(self.labels, dtype=mask.dtype))
        if not bool(heart.any()):
            raise InputError("the mask of the slice contains no heart; leave the slice out")
        spacing = image.affine[:3, :2].norm(dim=0).tolist()
        heart = widened(heart, spacing, self.margin)[None, :, :, None]
        kept = torch.where(heart, image.as_tensor(), torch.zeros((), dtype=image.dtype))
        cut_out = MetaTensor(kept, affine=image.affine)
        if not self.crop:
            return cut_out
        start, end = generate_spatial_bounding_box(heart)
        return SpatialCrop(roi_start=start, roi_end=end)(cut_out)
