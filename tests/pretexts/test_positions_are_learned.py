"""Test that a small network learns the positions of phantoms within seconds, but not with a broken loss."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import Compose, ResizeWithPadOrCropd
from planewise.augmentation import RandAffineBatchd
from planewise.losses import PositionLoss
from planewise.metrics import PositionErrors
from planewise.networks import SliceNet, UNetDecoder, UNetEncoder
from planewise.preprocessing import InPlaneSpacingd, StandardizeSliced
from planewise.pretexts import PlaneSquaresd

from tests.pretexts.test_plane_squares import ENDS, STEP, loaded

pytestmark = pytest.mark.slow

#: Larger squares than the paper's (mm), which small images learn within seconds.
SIZE = 40.0


class Upside(PositionLoss):
    """The sign of the loss is reversed."""

    def forward(self, prediction, target):
        return -super().forward(prediction, target).clamp_max(20)


@pytest.fixture(scope="module")
def slices(phantom_exam) -> dict[str, torch.Tensor]:
    """Every third slice of a phantom, on a grid of 8 mm."""
    onto_grid = Compose(
        [
            InPlaneSpacingd("image", pixdim=[8.0, 8.0, -1.0], mode=3, padding_mode="reflect"),
            ResizeWithPadOrCropd("image", (32, 32, -1)),
            StandardizeSliced("image"),
        ]
    )
    items = [onto_grid(loaded(phantom_exam, number)) for number in range(0, len(phantom_exam["sax"]), 3)]
    return {
        "image": torch.stack([item["image"].as_tensor()[..., 0] for item in items]).float(),
        "affine": torch.stack([item["image"].affine for item in items]),
        "planes": torch.stack([item["planes"] for item in items]),
        "image_padding": torch.stack([item["image"].amin().as_tensor().reshape(1) for item in items]).float(),
    }


def trained(slices, loss) -> dict[str, float]:
    """Train for 120 steps on augmented slices, and score the unaugmented slices."""
    torch.manual_seed(0)
    features = (16, 32, 32)
    network = SliceNet(UNetEncoder(features=features), UNetDecoder(features=features), num_maps=10)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    augment, pretext = RandAffineBatchd(rotate=5, zoom=(0.95, 1.05)), PlaneSquaresd(ENDS, SIZE, STEP)
    for _ in range(120):
        batch = pretext(augment(dict(slices)))
        optimizer.zero_grad()
        loss(network(batch["image"]), batch).backward()
        optimizer.step()
    network.eval()
    metric, batch = PositionErrors(SIZE), pretext(dict(slices))
    with torch.no_grad():
        metric.update((network(batch["image"]), batch))
    return metric.compute()


def test_positions_of_a_phantom_are_learned(slices):
    """Background everywhere has a Dice of 0; squares that are 8 mm off have 0.8 at best."""
    scores = trained(slices, PositionLoss())
    assert scores["squares_dice"] > 0.7 and scores["squares_found"] > 0.7 and scores["squares_distance"] < 4


def test_a_broken_loss_learns_nothing(slices):
    scores = trained(slices, Upside())
    assert scores["squares_dice"] < 0.2 and not scores["squares_distance"] < 15
