from __future__ import annotations

import pytest
import torch
from planewise.networks import LocationHead, SliceNet, UNetDecoder, UNetEncoder

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
