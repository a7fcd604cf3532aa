"""Test networks of volumes: shapes, TorchScript, MONAI's check, and that they never treat a volume as an image."""

from __future__ import annotations

import pytest
import torch
from planewise.losses import predicted_location
from planewise.networks import LocationHead, ResidualEncoder, SliceNet, UNetDecoder, UNetEncoder, place_network

FEATURES = (4, 8, 16)


def network(spatial_dims: int = 3, num_maps: int = 2, stem_stride: int = 1) -> SliceNet:
    torch.manual_seed(0)
    return SliceNet(
        UNetEncoder(FEATURES, stem_stride=stem_stride, spatial_dims=spatial_dims),
        UNetDecoder(FEATURES, stem_stride=stem_stride, spatial_dims=spatial_dims),
        num_maps,
        LocationHead(FEATURES[-1], spatial_dims=spatial_dims),
        spatial_dims=spatial_dims,
    ).eval()


@pytest.mark.parametrize(("num_maps", "stem_stride"), [(2, 2), (0, 1)])
def test_one_tensor_on_the_volumes_grid_and_torchscript_gives_the_same(num_maps, stem_stride):
    net = network(3, num_maps, stem_stride)
    volume = torch.rand(2, 1, 8, 16, 24)
    output = net(volume)
    assert output.shape == (2, num_maps + 1, 8, 16, 24)
    scripted = torch.jit.script(net)
    assert torch.equal(scripted(volume), output)
    assert scripted(torch.rand(1, 1, 16, 8, 8)).shape == (1, num_maps + 1, 16, 8, 8)
    # the location is a single number, the same at every voxel
    assert torch.equal(output[:, -1].amax(dim=(1, 2, 3)), output[:, -1].amin(dim=(1, 2, 3)))
    assert torch.equal(predicted_location(output), output[:, -1, 3, 5, 7])
    expected = net.head.location(net.encoder(volume)[-1])[:, 0]
    assert torch.equal(predicted_location(output), expected)


def channels_are_innermost(network):
    weights = [weight for weight in network.parameters() if weight.ndim == 5 and min(weight.shape[:2]) > 1]
    assert weights
    return all(weight.is_contiguous(memory_format=torch.channels_last_3d) for weight in weights)


def test_a_network_of_volumes_is_placed_with_its_channels_innermost():
    net = network(3)
    volume = torch.rand(1, 1, 8, 8, 8)
    output = net(volume)
    placed = place_network(net, "cpu", channels_last=False)
    assert torch.equal(placed(volume), output)
    placed = place_network(net, "cpu", channels_last=True)
    assert channels_are_innermost(placed)
    assert torch.allclose(placed(volume), output, atol=1e-6)
    # on a GPU, only layers that lack this format are an exception
    assert not channels_are_innermost(place_network(network(3), "meta")), "it has poolings"
    for norm in ("batch", "instance"):
        encoder = ResidualEncoder([4, 8], spatial_dims=3, norm=norm)
        assert channels_are_innermost(place_network(encoder, "meta")) is (norm == "batch")
