"""Make random views of each image: two for SimCLR, BYOL and SimSiam, one next to the image for exemplar networks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import ignite.distributed as idist
import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor

from planewise.augmentation import own_draws, whole_batches
from planewise.data import SliceDataset
from planewise.data.to_device import to_device


class TwoViewsd(Transform, RandomizableTrait):
    """Make two views of each slice or photograph, as channels of ``image`` (SimCLR, Chen 2020; BYOL, Grill 2020).

    Reads ``image`` ``(B, C, i, j)`` and the inputs of the view's transforms. Writes ``image`` ``(B, 2 C, i, j)``: the
    channels of one random view, then those of another. Everything else in the batch stays unchanged.

    Args:
        view: batch transforms that make a view (`planewise.augmentation`), called twice.
    """

    def __init__(self, view: Callable[[dict[Hashable, Any]], dict[Hashable, Any]]) -> None:
        self.view = whole_batches(view)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        batch["image"] = torch.cat([self.view(dict(batch))["image"] for _ in range(2)], dim=1)
        return batch


class ExemplarViewsd(Transform, RandomizableTrait):
    """Inputs of exemplar networks: ``x``, its transformed ``x+``, and a different ``x-`` (Taleb 2020, section 3.5).

    Reads ``image``, ``(B, C, i, j)`` or ``(B, C, i, j, k)``, ``index`` ``(B,)``, and the inputs of the view. Writes

    - ``image``: the channels of the unchanged ``x``, then those of ``x+``, ``(B, 2 * C, ...)``; with a ``dataset`` also
      those of ``x-``, unchanged, ``(B, 3 * C, ...)``;
    - ``order``, only without a ``dataset``: random numbers, ``(B, N)``, one in each row for each of the N samples in the
      batches of all processes. The different sample with the highest number is ``x-`` (`planewise.losses.TripletLoss`).

    Args:
        view: batch transforms that make ``x+`` (`planewise.augmentation`).
        dataset: from which ``x-`` is drawn, each other item with the same probability; None draws from the batch.
    """

    def __init__(
        self, view: Callable[[dict[Hashable, Any]], dict[Hashable, Any]], dataset: SliceDataset | None = None
    ) -> None:
        self.view = whole_batches(view)
        self.dataset = dataset

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        views = [image, self.view(dict(batch))["image"]]
        if self.dataset is None:
            order = own_draws(len(image), idist.get_world_size() * len(image))
            batch["order"] = to_device(order, image.device)
        else:
            # another item of the dataset for each item
            own, others = batch["index"].cpu(), max(len(self.dataset) - 1, 1)
            drawn = (own_draws(len(own), 1, dtype=torch.float64)[:, 0] * others).long().clamp(max=others - 1)
            rows = (drawn + (drawn >= own)) % len(self.dataset)
            views.append(to_device(self.dataset.__getitems__(rows.tolist())["image"], image.device))
        batch["image"] = torch.cat(views, dim=1)
        return batch
