"""Test networks of volumes: shapes, TorchScript, MONAI's check, and that they never treat a volume as an image."""

from __future__ import annotations

import json

import pytest
import torch
from monai.bundle import verify_net_in_out
from planewise.losses import predicted_location
from planewise.networks import LocationHead, ResidualEncoder, SliceNet, UNetDecoder, UNetEncoder, place_network
from torch import nn

FEATURES = (4, 8, 16)


def network(spatial_dims: int = 3, num_maps: int = 2, pool: str = "average", stem_stride: int = 1) -> SliceNet:
    torch.manual_seed(0)
    return SliceNet(
        UNetEncoder(FEATURES, stem_stride=stem_stride, spatial_dims=spatial_dims),
        UNetDecoder(FEATURES, stem_stride=stem_stride, spatial_dims=spatial_dims),
        num_maps,
        LocationHead(FEATURES[-1], pool, spatial_dims=spatial_dims),
        spatial_dims=spatial_dims,
    ).eval()


@pytest.mark.parametrize(("num_maps", "pool", "stem_stride"), [(2, "average", 1), (2, "max", 2), (0, "average", 1)])
def test_one_tensor_on_the_volumes_grid_and_torchscript_gives_the_same(num_maps, pool, stem_stride):
    net = network(3, num_maps, pool, stem_stride)
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


@pytest.mark.parametrize(("pool", "expected"), [("average", 2.5), ("max", 20.0)])
def test_a_volume_is_pooled_over_all_axes(pool, expected):
    head = LocationHead(1, pool, spatial_dims=3)
    nn.init.ones_(head.layers[0].weight)
    nn.init.zeros_(head.layers[0].bias)
    features = torch.zeros(1, 1, 2, 2, 2)
    features[0, 0, 1, 0, 1] = 20
    assert head(features).tolist() == [[expected]]
    with pytest.raises(ValueError, match="pool must be 'average' or 'max', got 'mean'"):
        LocationHead(1, "mean")


def test_further_layers_of_a_location_head_come_before_the_linear_one():
    head = LocationHead(4, hidden=(6, 5), dropout=0.3)
    kinds = [type(layer).__name__ for layer in head.layers]
    assert kinds == ["Linear", "Dropout", "ReLU"] * 2 + ["Linear"]
    assert [layer.p for layer in head.layers if isinstance(layer, nn.Dropout)] == [0.3, 0.3]
    assert [tuple(layer.weight.shape) for layer in head.layers if isinstance(layer, nn.Linear)] == [
        (6, 4),
        (5, 6),
        (1, 5),
    ]


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_monais_check_of_input_and_output_passes(tmp_path, spatial_dims):
    shape = {"type": "image", "format": "magnitude", "num_channels": 1, "spatial_shape": [16] * spatial_dims}
    channels = {"channel_def": {"0": "first", "1": "second", "2": "location"}}
    data = {"dtype": "float32", "value_range": [0, 1], "is_patch_data": False}
    metadata = {
        "network_data_format": {
            "inputs": {"image": shape | data | {"channel_def": {"0": "image"}}},
            "outputs": {"pred": shape | data | {"num_channels": 3} | channels},
        }
    }
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    parts = {
        name: {"_target_": f"planewise.networks.UNet{name.title()}", "features": [4, 8], "spatial_dims": spatial_dims}
        for name in ("encoder", "decoder")
    }
    head = {"_target_": "planewise.networks.LocationHead", "in_channels": 8, "spatial_dims": spatial_dims}
    net = {"_target_": "planewise.networks.SliceNet", **parts, "num_maps": 2, "location": head}
    (tmp_path / "config.json").write_text(json.dumps({"network_def": net | {"spatial_dims": spatial_dims}}))
    verify_net_in_out("network_def", str(tmp_path / "metadata.json"), str(tmp_path / "config.json"), device="cpu")


def test_images_and_volumes_have_the_same_names():
    """Therefore a bundle can freeze, load and report its parts by name, in 2D as in 3D."""
    flat, deep = network(2).state_dict(), network(3).state_dict()
    assert list(flat) == list(deep)
    assert flat["encoder.levels.0.conv_0.conv.weight"].shape == (4, 1, 3, 3)
    assert deep["encoder.levels.0.conv_0.conv.weight"].shape == (4, 1, 3, 3, 3)


def test_names_of_the_weights_are_those_of_files_that_are_there():
    names = {name.rpartition(".")[0] for name in network(2, stem_stride=2).state_dict()}
    assert {
        "encoder.stem.conv", "encoder.stem.adn.N", "encoder.levels.0.conv_0.conv", "encoder.levels.2.convs.conv_1.adn.N",
        "decoder.levels.0.upsample.deconv", "decoder.levels.1.convs.conv_0.conv", "decoder.unstem.conv",
        "head.maps", "head.location.layers.0",
    } <= names  # fmt: skip


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_sides_are_checked_on_every_axis(stem_stride):
    net = network(3, stem_stride=stem_stride)
    for axis in (2, 3, 4):
        shape = [1, 1, 16, 16, 16]
        shape[axis] = 12 if stem_stride == 2 else 14
        with pytest.raises(ValueError, match=r"stem_stride \* 2"):
            net(torch.rand(shape))


def test_a_head_of_images_refuses_volumes():
    with pytest.raises(ValueError, match="spatial_dims"):
        LocationHead(4)(torch.rand(2, 4, 3, 3, 4))
    with pytest.raises(ValueError, match="spatial_dims"):
        LocationHead(4, spatial_dims=3)(torch.rand(2, 4, 3, 3))


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
