"""A restored image, in the form that writers and MONAI Label expect."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform


class RestoredImaged(Transform):
    """Move a restored image out of ``pred``, which MONAI Label shows as labels.

    Reads ``image`` and ``pred``, ``(1, i, j, slices)``. Writes

    - ``restored`` and ``network_restored``: the content of ``pred``; `Invertd` resamples ``restored`` to the image's
      own grid;
    - ``pred``: labels of zero, uint8.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image, restored = item["image"], torch.as_tensor(item["pred"]).float()
        volumes = {"pred": torch.zeros_like(restored, dtype=torch.uint8), "restored": restored}
        if isinstance(image, MetaTensor):
            volumes = {name: MetaTensor(volume, meta=image.meta) for name, volume in volumes.items()}
        return item | volumes | {"network_restored": restored}
