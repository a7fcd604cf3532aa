"""Test that a small network learns the rotations of phantom heads within seconds, but not with a broken loss."""

from __future__ import annotations

import pytest
import torch
from planewise.losses import CrossEntropyLoss
from planewise.networks import ResidualEncoder, SharedEncoderNet
from planewise.phantoms.head.head import Head
from planewise.phantoms.head.population import HEADS
from planewise.pretexts import RotationTargetsd


class Shuffled(CrossEntropyLoss):
    """It compares with the target of another volume."""

    def forward(self, prediction, target):
        return super().forward(prediction, {"rotation": target["rotation"].roll(1)})


@pytest.fixture(scope="module")
def heads() -> torch.Tensor:
    """T1 of eight heads, ``(8, 1, 16, 16, 16)``."""
    population = HEADS.with_values(side=16)
    volumes = [torch.from_numpy(Head.sample((3, number), population).scan()[0]["t1"].copy()) for number in range(8)]
    return torch.stack([(volume / volume.max())[None] for volume in volumes])


def accuracy(heads: torch.Tensor, loss: CrossEntropyLoss) -> float:
    """Rotation accuracy of two heads, by what has learned from the other six."""
    torch.manual_seed(0)
    network, pretext = SharedEncoderNet(ResidualEncoder((8, 16, 32)), 1, 10, [32]), RotationTargetsd()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(50):
        batch = pretext({"image": heads[:6].repeat(3, 1, 1, 1, 1)})
        optimizer.zero_grad()
        loss(network(batch["image"]), batch).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        batch = pretext({"image": heads[6:].repeat(40, 1, 1, 1, 1)})
        return float((network(batch["image"]).argmax(1) == batch["rotation"]).float().mean())


def test_rotations_of_other_heads_are_told(heads):
    assert accuracy(heads, CrossEntropyLoss("rotation")) > 0.5, "chance is 0.1"


def test_a_broken_loss_learns_nothing(heads):
    assert accuracy(heads, Shuffled("rotation")) < 0.25
