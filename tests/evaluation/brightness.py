"""A classifier of stacks with decisions that a test can work out by hand."""

from __future__ import annotations

import torch
from planewise.networks import StackClassifier
from torch import Tensor, nn


class Brightness(nn.Module):
    """Two features of a slice, the image and its negative."""

    out_channels = 2
    last_features = "both"

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Conv2d(1, 2, 1, bias=False)
        self.both.weight.data[:] = torch.tensor([1.0, -1]).reshape(2, 1, 1, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.both(image)]


def bright_or_dark() -> StackClassifier:
    """Its first finding depends on a stack's brightest slice, its second on the darkest."""
    network = StackClassifier(Brightness(), 2)
    network.head[1].weight.data[:] = torch.eye(2)
    return network


def stack_of(brightness: list[float]) -> Tensor:
    """Slices ``(1, 6, 5, S)``, each with a single brightness."""
    return torch.tensor(brightness).expand(1, 6, 5, -1).clone()
