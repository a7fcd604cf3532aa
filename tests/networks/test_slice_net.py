from __future__ import annotations

import pytest
import torch
from planewise.networks import LocationHead, SliceNet, UNetDecoder, UNetEncoder
from planewise.networks.named_parts import fold_batch_norm, normalises_by_batch
from planewise.networks.unet import PatchUpsampling
from torch.nn.functional import conv_transpose2d

FEATURES = (4, 8, 16)


def network(num_maps: int = 2, location: bool = True, stem_stride: int = 1, **options) -> SliceNet:
    torch.manual_seed(0)
    return SliceNet(
        UNetEncoder(FEATURES, stem_stride=stem_stride),
        UNetDecoder(FEATURES, stem_stride=stem_stride),
        num_maps,
        LocationHead(FEATURES[-1]) if location else None,
        **options,
    )


@pytest.mark.parametrize(
    ("num_maps", "location", "channels", "stem_stride"), [(2, False, 2, 1), (0, True, 1, 1), (2, True, 3, 2)]
)
def test_one_tensor_on_the_images_grid_and_torchscript_gives_the_same(num_maps, location, channels, stem_stride):
    net = network(num_maps, location, stem_stride).eval()
    image = torch.rand(3, 1, 32, 48)
    output = net(image)
    assert output.shape == (3, channels, 32, 48)
    assert torch.equal(torch.jit.script(net)(image), output)


@pytest.mark.parametrize("stride", [2, 4])
def test_training_upsamples_and_learns_like_a_transposed_convolution(stride):
    torch.manual_seed(0)
    ours, image = PatchUpsampling(6, 5, stride, stride), torch.randn(2, 6, 4, 7).bfloat16().requires_grad_()
    given = [image, ours.weight, ours.bias]
    with torch.autocast("cpu", torch.bfloat16):
        expected, output = conv_transpose2d(*given, stride=stride), ours(image)
    assert torch.allclose(output.float(), expected.float(), rtol=0.01, atol=0.01)
    slopes = torch.randn_like(expected)
    found, wanted = (torch.autograd.grad(each, given, slopes) for each in (output, expected))
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one.float(), other.float(), rtol=0.02, atol=0.02 * float(other.abs().max()))
    levels = [module for module in network(stem_stride=stride).modules() if isinstance(module, PatchUpsampling)]
    assert len(levels) == len(FEATURES)


def test_a_new_head_starts_with_the_background():
    """The head's biases are logarithms of the probabilities, so it predicts these probabilities; at first, features
    change little.
    """
    net = network(num_maps=4, location=False, background_prob=0.91)
    assert torch.allclose(net.head.maps.bias.softmax(0), torch.tensor([0.91, 0.03, 0.03, 0.03]))
    plain = network(num_maps=4, location=False)
    assert torch.equal(net.head.maps.weight, plain.head.maps.weight), "all other weights start the same"
    image = torch.randn(2, 1, 32, 32)
    shift = net(image) - plain(image)
    assert torch.allclose(
        shift, (net.head.maps.bias - plain.head.maps.bias)[None, :, None, None].expand_as(shift), atol=1e-5
    )


def test_frozen_parts_do_not_change_in_training():
    net = network(frozen=["encoder"])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD([weight for weight in net.parameters() if weight.requires_grad], 0.1)
    net.train()
    net(torch.randn(4, 1, 32, 32)).square().mean().backward()
    optimizer.step()
    after = net.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "head"}


def test_folded_normalisation_gives_the_same_outputs():
    net = network(stem_stride=2).to(memory_format=torch.channels_last)
    for _ in range(3):
        net(3 + torch.randn(8, 1, 32, 32))  # other statistics than at the start
    image = torch.randn(2, 1, 32, 48)
    expected = net.eval()(image)
    fold_batch_norm(net.train())
    assert not net.training and not normalises_by_batch(net)
    assert torch.allclose(net(image), expected, atol=1e-5)
    assert net.encoder.levels[0].conv_0.conv.weight.is_contiguous(memory_format=torch.channels_last)
