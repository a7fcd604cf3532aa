"""Test the U-Net of residual blocks: shapes, parameter names, and transfer of its weights."""

from __future__ import annotations

import pytest
import torch
from planewise.networks import ResidualDecoder, ResidualEncoder, SliceNet

FEATURES = (4, 8, 16)


def segmenting(in_channels: int = 1, spatial_dims: int = 3, features=FEATURES, norm: str = "batch") -> SliceNet:
    torch.manual_seed(1)
    return SliceNet(
        ResidualEncoder(features, in_channels, norm, spatial_dims),
        ResidualDecoder(features, norm, spatial_dims),
        num_maps=3,
        spatial_dims=spatial_dims,
    )


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_levels_maps_and_torchscript(spatial_dims, norm):
    net = segmenting(2, spatial_dims, norm=norm).eval()
    image = torch.rand(2, 2, *(8, 16, 24)[:spatial_dims])
    levels = net.encoder(image)
    assert [tuple(level.shape[1:3]) for level in levels] == [(4, 8), (8, 4), (16, 2)]
    output = net(image)
    assert output.shape == (2, 3, *image.shape[2:])
    assert torch.allclose(torch.jit.script(net)(image), output, atol=1e-6)
