from __future__ import annotations

import pytest
import torch
from planewise.networks import AlexNetEncoder, LocationHead, SliceNet, UNetDecoder, UNetEncoder, encoder_features


@pytest.mark.parametrize(
    ("network", "shape", "width"),
    [
        (SliceNet(UNetEncoder((4, 6, 8)), UNetDecoder((4, 6, 8)), num_maps=2), (2, 1, 16, 16), 8),
        (SliceNet(AlexNetEncoder((4, 4, 4, 4, 5)), location=LocationHead(5)), (2, 1, 64, 64), 5),
        (SliceNet(UNetEncoder((4, 6), spatial_dims=3), UNetDecoder((4, 6), spatial_dims=3), 1, spatial_dims=3),
         (2, 1, 8, 8, 8), 6),
    ],
    ids=["U-Net", "AlexNet", "volumes"],
)  # fmt: skip
def test_every_encoder_gives_a_row_for_each_image(network, shape, width):
    image = torch.randn(shape)
    with torch.no_grad():
        features = encoder_features(network.eval(), image)
        assert features.shape == (2, width)
        assert torch.allclose(features[:1], encoder_features(network, image[:1]), atol=1e-6)
