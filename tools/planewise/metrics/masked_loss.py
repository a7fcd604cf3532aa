"""Mean of a loss whose targets are not all known, for validation in one process or several."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from ignite.metrics import Loss
from ignite.metrics.metric import reinit__is_reduced
from monai.utils import evenly_divisible_all_gather
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


class MaskedLoss(Loss):
    """Ignite's `Loss`, the mean over batches by their number of items, with a loss that is a mean over known targets.

    Such a mean depends on which items make a batch. Several processes evaluate the items of one batch side by side, so what
    they know of it is put together before its mean is taken: the number is the one that one process gets with batches that
    are so many times as large.

    Args:
        loss_fn: with `terms` after each call (`planewise.losses`).
        output_transform, batch_size: as Ignite's.
    """

    @reinit__is_reduced
    def reset(self) -> None:
        super().reset()
        self._batches: list[Tensor] = []

    @reinit__is_reduced
    def update(self, output: tuple) -> None:
        super().update(output)
        if idist.get_world_size() > 1:
            weights, means, known = zip(*self._loss_fn.terms, strict=True)
            self._weights = torch.tensor(weights, dtype=torch.float64)
            numbers = [torch.stack(means), torch.stack(known), known[0].new_tensor([self._batch_size(output[1])])]
            self._batches.append(torch.cat([value.to(torch.float64) for value in numbers]).cpu())

    def compute(self) -> float:
        if idist.get_world_size() == 1:
            return super().compute()
        # one process may have a batch more than another: (batches, processes, columns), zeros where it has none
        batches = pad_sequence(evenly_divisible_all_gather(torch.stack(self._batches), concat=False))
        terms = len(self._weights)
        means, known, items = batches[..., :terms], batches[..., terms:-1], batches[..., -1].sum(dim=1)
        means = (means * known).sum(dim=1) / known.sum(dim=1).clamp_min(1)
        return float((means @ self._weights * items).sum() / items.sum())
