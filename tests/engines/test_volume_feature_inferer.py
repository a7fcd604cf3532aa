from __future__ import annotations

import torch
from monai.data import MetaTensor
from planewise.engines import VolumeFeatureInferer
from planewise.networks import ResidualEncoder, SharedEncoderNet


def test_one_row_for_a_volume():
    torch.manual_seed(0)
    network = SharedEncoderNet(ResidualEncoder((4, 8), in_channels=2), 1, 10).eval()
    volume = torch.rand(2, 2, 8, 8, 4)
    with torch.no_grad():
        found = VolumeFeatureInferer()(MetaTensor(volume), network)
        deepest = network.encoder(volume)[-1]
    assert found.shape == (2, 8, 1)
    for number in range(2):
        for feature in range(8):
            assert torch.isclose(found[number, feature, 0], deepest[number, feature].mean(), atol=1e-6)
