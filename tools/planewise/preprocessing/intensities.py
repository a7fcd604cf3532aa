"""Scale or standardise intensities, record the value of the background, and keep only the heart in an image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, ScaleIntensity
from scipy.ndimage import distance_transform_edt

from planewise.errors import InputError
from planewise.files.masks import HEART_STRUCTURES


class ScaleToUnitd(MapTransform):
    """Scale an image to [0, 1] by its minimum and maximum (Taleb 2020, appendix A).

    The channels of a volume ``(channels, i, j, k)`` are contrasts, so each is scaled separately. Those of a photograph
    ``(channels, i, j)`` are its colours, so they are scaled together. The value of the background, here 0, is written to
    ``<key>_padding``, shape ``(channels,)``. Random transforms fill areas outside the image with it.

    Raises:
        InputError: a channel of a volume, or a photograph, has only one value.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            flat = image.ndim == 3
            pixels = torch.as_tensor(image)
            for number, channel in enumerate(pixels[None] if flat else pixels, 1):
                if channel.min() == channel.max():
                    what = "the photograph" if flat else f"channel {number}"
                    raise InputError(
                        f"{what} has the value {float(channel.min()):g} everywhere, so it cannot be scaled; leave it out"
                    )
            item[key] = ScaleIntensity(minv=0.0, maxv=1.0, channel_wise=not flat)(image)
            item[f"{key}_padding"] = torch.zeros(len(image))
        return item


class StandardizeSliced(MapTransform):
    """Standardise each slice to mean 0 and standard deviation 1 (Zhang 2024, section 5.1.1), after cropping and padding.

    An image is ``(1, i, j, slices)``, and every slice is standardised separately. A slice with a single grey value
    becomes 0. The background, which was 0 before, gets another value; this value is written to ``<key>_padding``, shape
    ``(slices,)``. Random transforms fill areas outside the image with it.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key].to(torch.float32)
            pixels = image.as_tensor() if isinstance(image, MetaTensor) else image
            mean = pixels.mean(dim=(0, 1, 2))
            deviation = pixels.std(dim=(0, 1, 2), correction=0)
            deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
            item[key] = (image - mean) / deviation
            item[f"{key}_padding"] = -mean / deviation
        return item


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
    heart, and if it were standardised first, they would affect the statistics. The mask, under ``label``, is removed.

    Args:
        keys: keys of slices, ``(1, i, j, 1)`` with their affine.
        margin: width by which the mask is extended, mm.

    Raises:
        InputError: the item has no mask, the mask has another grid or shows no heart.
    """

    def __init__(self, keys: KeysCollection, margin: float = 0.0) -> None:
        super().__init__(keys)
        self.margin = float(margin)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        mask = item.pop("label", None)
        for key in self.key_iterator(item):
            item[key] = self._kept(item[key], mask)
        return item

    def _kept(self, image: MetaTensor, mask: Any) -> MetaTensor:
        if not isinstance(mask, MetaTensor):
            raise InputError(
                "there is no mask; predict masks with `planewise segment`, index your own with --labels, or use --images full"
            )
        if mask.shape != image.shape or image.ndim != 4 or image.shape[3] != 1:
            raise InputError(
                f"the mask has shape {tuple(mask.shape)}, the slice {tuple(image.shape)}; both must be (1, i, j, 1)"
            )
        heart = torch.isin(
            mask.as_tensor()[0, :, :, 0].round(), torch.tensor([*HEART_STRUCTURES["sax"]], dtype=mask.dtype)
        )
        if not bool(heart.any()):
            raise InputError("the mask of the slice contains no heart; leave the slice out")
        spacing = image.affine[:3, :2].norm(dim=0).tolist()
        heart = widened(heart, spacing, self.margin)[None, :, :, None]
        kept = torch.where(heart, image.as_tensor(), torch.zeros((), dtype=image.dtype))
        return MetaTensor(kept, affine=image.affine)
