"""Test that a small network learns rotations and places of patches of phantom heads within seconds, but not with a broken
loss."""

from __future__ import annotations

import pytest
import torch
from planewise.losses import CrossEntropyLoss
from planewise.networks import ResidualEncoder, SharedEncoderNet
from planewise.pretexts import RelativePatchesd, RotationTargetsd
from planewise.workshop.phantoms.head import HEADS, Head

pytestmark = pytest.mark.slow


class Shuffled(CrossEntropyLoss):
    """A wrong loss, which compares each prediction with the target of another volume."""

    def forward(self, prediction, target):
        return super().forward(prediction, {self.key: target[self.key].roll(1)})


def heads(side: int) -> torch.Tensor:
    """T1 of eight heads, ``(8, 1, side, side, side)``."""
    population = HEADS.with_values(side=side)
    volumes = [torch.from_numpy(Head.sample((3, number), population).scan()[0]["t1"].copy()) for number in range(8)]
    return torch.stack([(volume / volume.max())[None] for volume in volumes])


def rotations(loss: type[CrossEntropyLoss]) -> float:
    network = SharedEncoderNet(ResidualEncoder((8, 16, 32)), 1, 10, [32])
    return accuracy(heads(16), RotationTargetsd(), network, loss("rotation"), steps=50, copies=(3, 40))


def places(loss: type[CrossEntropyLoss]) -> float:
    network = SharedEncoderNet(ResidualEncoder((8, 16, 32)), 2, 26, [32], piece_features=16)
    return accuracy(heads(18), RelativePatchesd(jitter=1), network, loss("place"), steps=90, copies=(8, 50))


def accuracy(images, pretext, network, loss, steps: int, copies: tuple[int, int]) -> float:
    """Accuracy on two heads, after learning from the other six."""
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(steps):
        batch = pretext({"image": images[:6].repeat(copies[0], 1, 1, 1, 1)})
        optimizer.zero_grad()
        loss(network(batch["image"]), batch).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        batch = pretext({"image": images[6:].repeat(copies[1], 1, 1, 1, 1)})
        return float((network(batch["image"]).argmax(1) == batch[loss.key]).float().mean())


@pytest.mark.parametrize(("learn", "loss", "low", "high"), [
    (rotations, CrossEntropyLoss, 0.3, 1.0),  # chance is 0.1
    (rotations, Shuffled, 0.0, 0.25),
    (places, CrossEntropyLoss, 0.25, 1.0),  # chance is 0.04
    (places, Shuffled, 0.0, 0.15),
])  # fmt: skip
def test_classes_of_other_heads_are_learned_with_their_own_targets_alone(learn, loss, low, high):
    torch.manual_seed(0)
    assert low <= learn(loss) <= high
