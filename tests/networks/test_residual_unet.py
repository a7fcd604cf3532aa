"""Test the U-Net of residual blocks: shapes, parameter names, and transfer of its weights."""

from __future__ import annotations

import pytest
import torch
from planewise.errors import InputError
from planewise.networks import (
    ResidualDecoder,
    ResidualEncoder,
    SharedEncoderNet,
    SliceNet,
    copied_to_channels,
    load_pretrained,
)
from torch.nn.functional import batch_norm, conv3d, leaky_relu

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


def test_the_papers_size_is_the_default():
    encoder = ResidualEncoder()
    assert [block.conv2.conv.out_channels for block in encoder.levels] == [32, 64, 128, 256, 512]
    assert [tuple(block.conv1.conv.stride) for block in encoder.levels] == [(1, 1, 1)] + [(2, 2, 2)] * 4


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


def test_a_block_is_residual():
    """The reference takes single steps: two convolutions, with the input added before the last activation."""
    encoder = ResidualEncoder(FEATURES).eval()
    block, x = encoder.levels[1], torch.randn(1, 4, 6, 6, 6)

    def normed(value, norm):
        return batch_norm(value, norm.running_mean, norm.running_var, norm.weight, norm.bias)

    first = leaky_relu(normed(conv3d(x, block.conv1.conv.weight, stride=2, padding=1), block.norm1), 0.01)
    second = normed(conv3d(first, block.conv2.conv.weight, padding=1), block.norm2)
    passed = normed(conv3d(x, block.conv3.conv.weight, stride=2), block.norm3)
    assert torch.allclose(block(x), leaky_relu(second + passed, 0.01), atol=1e-6)


def test_the_first_convolution_is_normalised():
    stem, image = ResidualEncoder(FEATURES).stem, torch.randn(2, 1, 6, 6, 6)
    convolved = conv3d(image, stem.conv.weight, stem.conv.bias, padding=1)
    assert torch.allclose(stem(image), leaky_relu(batch_norm(convolved, None, None, training=True), 0.01), atol=1e-6)


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


@pytest.mark.parametrize(("had", "sources"), [(2, [1, 1, 0, 0]), (4, [3, 0, 1, 2]), (3, [0, 1, 2, 2]), (4, [2])])
def test_channels_take_the_weights_that_are_named_for_them(had, sources, tmp_path):
    trained, net = pretext(in_channels=had), segmenting(in_channels=len(sources))
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    load_pretrained(net, tmp_path / "model.pt", ["encoder"], sources)
    assert torch.equal(net.encoder.stem.conv.weight, trained.encoder.stem.conv.weight[:, sources])


def test_other_numbers_of_channels_are_refused(tmp_path):
    for had, wanted in ((4, 2), (2, 3)):
        torch.save(pretext(in_channels=had).state_dict(), tmp_path / "model.pt")
        with pytest.raises(InputError, match="stem.conv.weight"):
            load_pretrained(segmenting(in_channels=wanted), tmp_path / "model.pt")


def test_another_width_is_not_taken_for_more_channels(tmp_path):
    torch.save(pretext(features=(4, 4, 4)).state_dict(), tmp_path / "model.pt")
    with pytest.raises(InputError, match="does not fit"):
        load_pretrained(segmenting(features=(4, 8, 16)), tmp_path / "model.pt")


def test_a_layer_of_copies_sees_the_sum_of_its_channels():
    weight = torch.randn(5, 2, 3, 3, 3)
    image = torch.randn(1, 4, 6, 6, 6)
    paired = torch.stack([image[:, :2].sum(1), image[:, 2:].sum(1)], dim=1)
    assert torch.allclose(conv3d(image, copied_to_channels(weight, 4)), conv3d(paired, weight), atol=1e-4)


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_sides_are_checked(axis):
    shape = [1, 1, 8, 8, 8]
    shape[axis] = 10
    with pytest.raises(ValueError, match="multiples of"):
        segmenting()(torch.rand(shape))
    with pytest.raises(
        InputError, match=r"--features must be at least two widths, one for each level of a U-Net, got \[8\]"
    ):
        ResidualEncoder((8,))


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
