from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from planewise.engines import FeatureInferer
from planewise.networks import ResidualEncoder, SharedEncoderNet, UNetEncoder, encoder_features


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_row_for_a_volume_or_for_each_slice(spatial_dims):
    torch.manual_seed(0)
    encoder = ResidualEncoder((4, 8), in_channels=2, spatial_dims=spatial_dims)
    network = SharedEncoderNet(encoder, 1, 10).eval()
    volume = torch.rand(2, 2, 8, 8, 4)
    with torch.no_grad():
        found = FeatureInferer(batch_size=3, spatial_dims=spatial_dims)(MetaTensor(volume), network)
        assert found.shape == (2, 8, 1 if spatial_dims == 3 else 4)
        for number in range(2):
            for place in range(found.shape[2]):
                seen = volume[number] if spatial_dims == 3 else volume[number, ..., place]
                expected = network.encoder(seen[None])[-1].flatten(2).mean(2)[0]
                assert torch.allclose(found[number, :, place], expected, atol=1e-6)


@pytest.mark.parametrize("amp", [False, "bfloat16"])
def test_single_slices_through_the_encoder_of_a_network_for_pairs(amp):
    network = SharedEncoderNet(UNetEncoder((4, 8)), 2, 1).eval()
    image = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        features = FeatureInferer(amp=amp)(image, network)
        expected = encoder_features(network, image)
    assert features.shape == (3, 8, 1) and features.dtype == torch.float32
    assert torch.allclose(features[..., 0], expected, atol=0 if amp is False else 0.05)
