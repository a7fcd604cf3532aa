"""Test the masked loss of two processes against one process, and of one process against Ignite's `Loss`."""

from __future__ import annotations

import pytest
import torch
from ignite.metrics import Loss
from planewise.losses import MultitaskLoss
from planewise.metrics import MaskedLoss

from tests.processes import in_processes


def samples() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Eleven samples; a third of the heatmaps and some locations are unknown."""
    generator = torch.Generator().manual_seed(1)
    prediction = torch.rand(11, 3, 4, 4, generator=generator)
    target = {
        "heatmaps": torch.rand(11, 2, 4, 4, generator=generator),
        "location": torch.rand(11, generator=generator),
    }
    target["heatmaps"][::3] = torch.nan
    target["location"][4:6] = torch.nan
    return prediction, target


def mean_loss(kind: type[Loss], first: int, step: int, batch_size: int, count: int = 11) -> float:
    """The mean loss over every step-th sample, in batches."""
    prediction, target = samples()
    size = {} if kind is MaskedLoss else {"batch_size": lambda target: len(target["location"])}
    metric = kind(MultitaskLoss(0.3, 2.0), **size)
    own = list(range(first, count, step)) or list(range(count))
    with torch.no_grad():
        for _ in range(2):  # the metric is reused in every epoch
            metric.reset()
            for start in range(0, len(own), batch_size):
                rows = own[start : start + batch_size]
                metric.update((prediction[rows], {name: value[rows] for name, value in target.items()}))
            value = metric.compute()
    return value


def plain_mean(kind: type[Loss], rank: int = 0) -> float:
    """The cross-entropy, which has no terms, of uneven batches."""
    generator = torch.Generator().manual_seed(rank)
    metric = kind(torch.nn.CrossEntropyLoss())
    for size in (3, 1, 4):
        label = torch.randint(5, (size,), generator=generator)
        metric.update((torch.rand(size, 5, generator=generator), label))
    return metric.compute()


def test_a_loss_without_terms_is_averaged_as_by_ignite():
    assert plain_mean(MaskedLoss) == plain_mean(Loss)


def share(rank: int) -> dict[str, float]:
    return {
        "uneven batches": mean_loss(MaskedLoss, rank, 2, 2),
        "one more batch": mean_loss(MaskedLoss, rank, 2, 5),
        "one for both": mean_loss(MaskedLoss, rank, 2, 2, count=1),
        "without terms": plain_mean(MaskedLoss, rank),
    }


def test_two_processes_get_what_one_gets_from_batches_of_twice_the_size():
    one, other = in_processes(share)
    assert one == other
    expected = {
        "uneven batches": mean_loss(MaskedLoss, 0, 1, 4),
        "one more batch": mean_loss(MaskedLoss, 0, 1, 10),
        "one for both": mean_loss(MaskedLoss, 0, 1, 4, count=1),
        "without terms": (plain_mean(Loss, 0) + plain_mean(Loss, 1)) / 2,
    }
    assert one == pytest.approx(expected, rel=1e-6)
