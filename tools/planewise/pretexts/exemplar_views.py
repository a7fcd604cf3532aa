"""Each image and a changed version of it, for exemplar networks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import ignite.distributed as idist
import torch
from monai.transforms import Transform
from torch import Tensor

from planewise.augmentation import own_draws
from planewise.data import SliceDataset
from planewise.data.to_device import to_device


class ExemplarViewsd(Transform):
    """A sample ``x``, a transformed version ``x+`` of it, and a way to a different sample ``x-``: exemplar networks (Taleb
    2020, section 3.5).

    Reads ``image``, ``(B, C, i, j)``, or ``(B, C, i, j, k)`` of volumes, ``index`` ``(B,)``, and what the view's transforms
    need. Writes

    - ``image``: the channels of ``x`` as it came, then those of ``x+``, ``(B, 2 * C, ...)``; with a ``dataset`` those of
      ``x-``, too, ``(B, 3 * C, ...)``, as it lies there;
    - ``order``, without a dataset: a random number for every sample of the batch, of all processes' batches in the order of
      one process' batch, ``(B, N)``: of those that are different, the one with the highest is ``x-``
      (`planewise.losses.TripletLoss`).

    Draws come from torch's global generator on the CPU, as those of `planewise.augmentation`.

    Args:
        view: batch transforms that make ``x+`` (`planewise.augmentation`).
        dataset: what negatives are drawn from, each other item as likely; None for those of the batch.
    """

    def __init__(
        self, view: Callable[[dict[Hashable, Any]], dict[Hashable, Any]], dataset: SliceDataset | None = None
    ) -> None:
        self.view = view
        self.dataset = dataset

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        views = [image, self.view(dict(batch))["image"]]
        if self.dataset is None:
            order = own_draws(len(image), idist.get_world_size() * len(image))
            batch["order"] = to_device(order, image.device)
        else:
            views.append(to_device(_others(batch["index"], self.dataset), image.device))
        batch["image"] = torch.cat(views, dim=1)
        return batch


def _others(index: Tensor, dataset: SliceDataset) -> Tensor:
    """An item of the dataset for each of these, which is another one."""
    own, others = index.cpu(), max(len(dataset) - 1, 1)
    drawn = (own_draws(len(own), 1, dtype=torch.float64)[:, 0] * others).long().clamp(max=others - 1)
    rows = (drawn + (drawn >= own)) % len(dataset)
    return dataset.__getitems__(rows.tolist())["image"]
