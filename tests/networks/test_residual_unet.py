"""Test the U-Net of residual blocks: shapes, parameter names, and transfer of its weights."""

from __future__ import annotations

import pytest
import torch
from planewise.networks import (
    ResidualDecoder,
    ResidualEncoder,
    SharedEncoderNet,
    SliceNet,
    load_pretrained,
)

FEATURES = (4, 8, 16)


def segmenting(in_channels: int = 1, spatial_dims: int = 3, features=FEATURES, norm: str = "batch") -> SliceNet:
    torch.manual_seed(1)
    return SliceNet(
        ResidualEncoder(features, in_channels, norm, spatial_dims),
        ResidualDecoder(features, norm, spatial_dims),
        num_maps=3,
        spatial_dims=spatial_dims,
    )


def pretext(in_channels: int = 1, spatial_dims: int = 3, features=FEATURES) -> SharedEncoderNet:
    torch.manual_seed(0)
    return SharedEncoderNet(ResidualEncoder(features, in_channels, spatial_dims=spatial_dims), 1, 10, [6])


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


def test_a_pretexts_encoder_moves_to_the_segmentation(tmp_path, caplog):
    trained, net = pretext(), segmenting()
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    decoder = {name: value.clone() for name, value in net.decoder.state_dict().items()}
    with caplog.at_level("INFO"):
        load_pretrained(net, tmp_path / "model.pt")
    assert all(
        torch.equal(value, net.state_dict()[f"encoder.{name}"]) for name, value in trained.encoder.state_dict().items()
    )
    assert all(torch.equal(value, decoder[name]) for name, value in net.decoder.state_dict().items())
    assert "left at random: decoder" in caplog.text


def test_channels_of_the_image_take_copies_of_the_first_layer(tmp_path, caplog):
    trained, net = pretext(in_channels=2), segmenting(in_channels=4)
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    with caplog.at_level("INFO"):
        load_pretrained(net, tmp_path / "model.pt")
    had, has = trained.encoder.stem.conv.weight, net.encoder.stem.conv.weight
    for channel, source in enumerate((0, 0, 1, 1)):
        assert torch.equal(has[:, channel], had[:, source])
    assert "weights for 2 channels are copied to 4 channels" in caplog.text
    others = {name: value for name, value in trained.encoder.state_dict().items() if name != "stem.conv.weight"}
    assert all(torch.equal(value, net.encoder.state_dict()[name]) for name, value in others.items())


def test_frozen_parts_can_be_released():
    net = segmenting()
    net.freeze(["encoder"])
    net.train()
    assert not net.encoder.training and net.decoder.training
    assert not any(value.requires_grad for value in net.encoder.parameters())
    net.release()
    assert net.frozen == () and net.encoder.training
    assert all(value.requires_grad for value in net.parameters())
    net.eval()
    assert not net.encoder.training
