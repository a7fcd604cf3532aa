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


@pytest.mark.parametrize("stem_stride", [1, 2])
@pytest.mark.parametrize(("num_maps", "location", "channels"), [(2, False, 2), (0, True, 1), (2, True, 3)])
def test_one_tensor_on_the_images_grid_and_torchscript_gives_the_same(num_maps, location, channels, stem_stride):
    net = network(num_maps, location, stem_stride).eval()
    image = torch.rand(3, 1, 32, 48)
    output = net(image)
    assert output.shape == (3, channels, 32, 48)
    assert torch.equal(torch.jit.script(net)(image), output)
    # an image of another size
    assert torch.jit.script(net)(torch.rand(1, 1, 64, 32)).shape == (1, channels, 64, 32)


def test_the_location_channel_is_constant_and_depends_on_the_image():
    output = network().eval()(torch.rand(2, 1, 32, 32))
    assert output[:, 2].flatten(1).std(dim=1).max() == 0
    assert output[0, 2, 0, 0] != output[1, 2, 0, 0]


def test_parts_have_their_names():
    parts = {name.split(".")[0] for name in network().state_dict()}
    assert parts == {"encoder", "decoder", "head"}
    # a network for the location alone has no unused decoder
    assert {name.split(".")[0] for name in network(0).state_dict()} == {"encoder", "head"}


def test_the_papers_u_net():
    net = SliceNet(UNetEncoder(), UNetDecoder(), 2)
    assert sum(weight.numel() for weight in net.parameters()) / 1e6 == pytest.approx(31.0, abs=0.1)
    assert [tuple(level.shape[1:]) for level in net.encoder(torch.rand(1, 1, 32, 32))] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (1024, 2, 2),
    ]  # fmt: skip


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
    for num_maps, background in ((4, 1.0), (4, 0.0), (1, 0.9)):
        with pytest.raises(ValueError, match="background_prob must be between 0 and 1"):
            network(num_maps=num_maps, location=False, background_prob=background)


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


@pytest.mark.parametrize("options", [{"pool": "max"}, {"hidden": [8], "dropout": 0.5}])
def test_location_head_variants(options):
    head = LocationHead(16, **options).eval()
    assert head(torch.rand(2, 16, 3, 3)).shape == (2, 1)


def test_max_pooling_takes_the_largest():
    torch.manual_seed(0)
    head, features = LocationHead(4, pool="max"), torch.zeros(1, 4, 5, 5)
    quiet = head(features)
    features[0, :, 2, 2] = 3
    assert not torch.allclose(head(features), quiet)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SliceNet(UNetEncoder(FEATURES), None, 2), "need a decoder"),
        (lambda: SliceNet(UNetEncoder(FEATURES)), "nothing to predict"),
        (lambda: UNetEncoder((4,)), "at least two widths"),
        (lambda: LocationHead(4, pool="mean"), "'average' or 'max'"),
    ],
)
def test_what_cannot_be_built_says_why(build, message):
    with pytest.raises(ValueError, match=message):
        build()
