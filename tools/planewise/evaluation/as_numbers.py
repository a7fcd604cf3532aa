"""Return numbers that have no position in the image, in the form that MONAI Label passes to a viewer."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform


class AsNumbersd(Transform):
    """Let a server return the numbers of ``pred``, one for each class.

    MONAI Label resizes every ``pred`` to the original size of the image, which fails if ``pred`` has no spatial axis
    (`monailabel.transform.post.Restored`). It leaves ``pred`` alone if the image's metadata has no original size, so
    this transform removes that entry.

    Reads ``pred``, ``(classes,)``, and ``image``. Writes ``pred`` as a float32 `MetaTensor` on the CPU, and ``image``
    without ``spatial_shape`` in its ``meta``, with unchanged voxels and affine.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image = item["image"]
        if isinstance(image, MetaTensor):
            meta = {key: value for key, value in image.meta.items() if key != "spatial_shape"}
            item["image"] = MetaTensor(image.as_tensor(), meta=meta, applied_operations=image.applied_operations)
        item["pred"] = MetaTensor(torch.as_tensor(item["pred"]).float().cpu())
        return item
