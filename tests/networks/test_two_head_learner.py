from __future__ import annotations

import torch
from planewise.networks import LocationHead, SliceNet, TwoHeadLearner, UNetDecoder, UNetEncoder

WIDTHS = (4, 6, 8)


def net(maps: int, widths=WIDTHS, location: bool = False) -> SliceNet:
    decoder = UNetDecoder(widths) if maps else None
    return SliceNet(UNetEncoder(widths), decoder, maps, LocationHead(widths[-1]) if location else None)


def test_two_networks_have_one_body_and_a_head_each():
    network, other = net(4), net(10)
    names = list(network.state_dict())
    learner = TwoHeadLearner(network, other)
    assert other.encoder is network.encoder and other.decoder is network.decoder
    assert list(learner.state_dict()) == [*names, "other.head.maps.weight", "other.head.maps.bias"]
    assert list(network.state_dict()) == names, "the network that is kept does not change"
    before = network.head.maps.weight.clone()
    other(torch.randn(2, 1, 16, 16)).sum().backward()
    assert network.encoder.levels[0].conv_0.conv.weight.grad is not None
    assert network.head.maps.weight.grad is None and torch.equal(network.head.maps.weight, before)


def test_without_a_decoder_the_encoder_alone_is_shared():
    network, other = net(4), net(0, location=True)
    learner = TwoHeadLearner(network, other)
    assert other.encoder is network.encoder and other.decoder is None
    assert [name for name in learner.state_dict() if name.startswith("other.")] == [
        "other.head.location.layers.0.weight",
        "other.head.location.layers.0.bias",
    ]
