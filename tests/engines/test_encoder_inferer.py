from __future__ import annotations

import pytest
import torch
from planewise.engines import EncoderInferer
from planewise.networks import SharedEncoderNet, UNetEncoder, encoder_features


@pytest.mark.parametrize("amp", [False, "bfloat16"])
def test_single_slices_through_the_encoder_of_a_network_for_pairs(amp):
    network = SharedEncoderNet(UNetEncoder((4, 8)), 2, 1).eval()
    image = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        features = EncoderInferer(amp)(image, network)
        expected = encoder_features(network, image)
    assert features.shape == (3, 8) and features.dtype == torch.float32
    assert torch.allclose(features, expected, atol=0 if amp is False else 0.05)
