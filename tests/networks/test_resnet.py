from __future__ import annotations

import pytest
import torch
from monai.networks.nets import resnet50
from planewise.errors import InputError
from planewise.networks import (
    AlexNetEncoder,
    ResNetEncoder,
    SliceNet,
    UNetDecoder,
    UNetEncoder,
    ViTEncoder,
    load_imagenet,
    load_pretrained,
)
from planewise.networks.embedding_net import EmbeddingNet
from torch.nn.functional import batch_norm, conv2d, max_pool2d, relu

FEATURES, BLOCKS = (4, 16, 32, 64, 128), (2, 1, 2, 1)


def torchvision_shapes(width: int, blocks: tuple[int, ...], classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's ResNets with bottleneck blocks, written out."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, norm: str, out: int, into: int, kernel: int) -> None:
        shapes[f"{name}.weight"] = (out, into, kernel, kernel)
        shapes.update({f"{norm}.{kind}": (out,) for kind in ("weight", "bias", "running_mean", "running_var")})

    convolution("conv1", "bn1", width, 3, 7)
    into = width
    for level, count in enumerate(blocks, start=1):
        inner = width * 2 ** (level - 1)
        for number in range(count):
            block = f"layer{level}.{number}"
            for index, (out, source, kernel) in enumerate(
                ((inner, into, 1), (inner, inner, 3), (4 * inner, inner, 1)), start=1
            ):
                convolution(f"{block}.conv{index}", f"{block}.bn{index}", out, source, kernel)
            if number == 0:
                convolution(f"{block}.downsample.0", f"{block}.downsample.1", 4 * inner, into, 1)
            into = 4 * inner
    return shapes | {"fc.weight": (classes, into), "fc.bias": (classes,)}


def torchvision_weights(width: int = 4, blocks: tuple[int, ...] = BLOCKS) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    weights = {}
    for name, shape in torchvision_shapes(width, blocks, 10).items():
        spread = 0.3 if len(shape) > 1 else 0.1
        middle = 1.0 if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")) else 0.0
        weights[name] = middle + spread * torch.randn(shape).clamp(-2, 2)
    return weights


def resnet_written_out(image: torch.Tensor, weights: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Block by block as in He 2016, Fig. 5 (right) and Table 1; the strides are in the 3x3 convolutions, as in
    torchvision.
    """

    def step(x, conv, norm, stride=1):
        kernel = weights[f"{conv}.weight"]
        x = conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        return batch_norm(x, *(weights[f"{norm}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias")))

    x = relu(step(torch.cat([image] * 3, dim=1), "conv1", "bn1", 2))
    levels = [x]
    x = max_pool2d(x, 3, 2, 1)
    for level, count in enumerate(BLOCKS, start=1):
        for number in range(count):
            name, stride = f"layer{level}.{number}", 2 if level > 1 and number == 0 else 1
            shortcut = step(x, f"{name}.downsample.0", f"{name}.downsample.1", stride) if number == 0 else x
            y = relu(step(x, f"{name}.conv1", f"{name}.bn1"))
            y = relu(step(y, f"{name}.conv2", f"{name}.bn2", stride))
            x = relu(step(y, f"{name}.conv3", f"{name}.bn3") + shortcut)
        levels.append(x)
    return levels


def network() -> SliceNet:
    return SliceNet(ResNetEncoder(FEATURES, BLOCKS), UNetDecoder(FEATURES, stem_stride=2), 4)


@pytest.mark.parametrize("prefix", ["", "module.encoder_q.", "backbone."])
@pytest.mark.parametrize("load", [load_imagenet, load_pretrained])
def test_a_public_file_gives_the_network_that_it_is_of(load, prefix, tmp_path):
    """The file has the prefix that a conversion left, and weights of other networks."""
    weights = torchvision_weights()
    others = {"module.queue": torch.zeros(2, 3), "projector.0.weight": torch.zeros(2, 2)}
    content = {f"{prefix}{name}": value for name, value in weights.items()} | others
    torch.save({"epoch": 200, "state_dict": content}, tmp_path / "simclr.pth")
    net = load(network(), tmp_path / "simclr.pth").eval()
    image = torch.randn(2, 1, 64, 96)
    for level, expected in zip(net.encoder(image), resnet_written_out(image, weights), strict=True):
        assert torch.allclose(level, expected, atol=1e-4), level.shape


def test_of_several_copies_in_a_file_the_one_without_a_prefix_is_loaded(tmp_path):
    weights = torchvision_weights()
    averaged = {f"ema.{name}": torch.zeros_like(value) for name, value in weights.items()}
    torch.save(averaged | weights, tmp_path / "resnet.pth")
    net = load_imagenet(network(), tmp_path / "resnet.pth")
    assert torch.equal(net.encoder.conv1.weight, weights["conv1.weight"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "features.0.weight",
            "of AlexNet, which is the knee bundles' own network: leave the other network's config out",
        ),
        (
            "backbone.patch_embed.proj.weight",
            "of a vision transformer, which needs configs/vit.yaml on top of the other",
        ),
    ],
)
def test_files_of_other_types_of_networks_are_known_by_a_name(name, said, tmp_path):
    torch.save({name: torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=f"it has the names {said}"):
        load_imagenet(network(), tmp_path / "other.pth")


def test_resnet_50_has_torchvisions_names_and_size():
    encoder = ResNetEncoder()
    shapes = torchvision_shapes(64, (3, 4, 6, 3), 1000)
    own = {
        name: tuple(value.shape) for name, value in encoder.state_dict().items() if "num_batches_tracked" not in name
    }
    assert own == {name: shape for name, shape in shapes.items() if not name.startswith("fc.")}
    assert sum(value.numel() for value in encoder.parameters()) == 23_508_032
    # and it equals MONAI's network
    theirs = resnet50(spatial_dims=2, n_input_channels=3, conv1_t_stride=2, bias_downsample=False, num_classes=7).eval()
    theirs.load_state_dict(encoder.eval().state_dict() | {"fc.weight": theirs.fc.weight, "fc.bias": theirs.fc.bias})
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.allclose(theirs.fc(encoder(image)[-1].mean((2, 3))), theirs(image.repeat(1, 3, 1, 1)), atol=1e-4)


def test_levels_the_way_back_and_torchscript():
    net = network().eval()
    image = torch.rand(2, 1, 64, 96)
    levels = net.encoder(image)
    assert [tuple(level.shape[1:]) for level in levels] == [
        (width, 64 // step, 96 // step) for width, step in zip(FEATURES, (2, 4, 8, 16, 32), strict=True)
    ]
    output = net(image)
    assert output.shape == (2, 4, 64, 96)
    scripted = torch.jit.script(net)
    assert torch.allclose(scripted(image), output, atol=1e-6) and scripted(image[:1, :, :32, :32]).shape == (
        1,
        4,
        32,
        32,
    )
    assert EmbeddingNet(net.encoder)(image).shape == (2, 128)
    with pytest.raises(ValueError, match="change image_size"):
        net(torch.rand(1, 1, 48, 48))


def test_sizes_that_no_residual_network_has():
    with pytest.raises(
        InputError, match=r"--features must be W, 4 W, 8 W, .* got \[4, 8, .*; set \[4, 16, 32, 64, 128\]"
    ):
        ResNetEncoder((4, 8, 16, 32, 64))
    with pytest.raises(
        InputError, match=r"--blocks must be four numbers, because a ResNet has four levels of blocks, got \[1, 1, 1\]"
    ):
        ResNetEncoder(FEATURES, (1, 1, 1))


@pytest.mark.parametrize(
    ("encoder", "change", "message"),
    [
        # a ResNet-101 has all names of a ResNet-50, and others
        (
            ResNetEncoder(FEATURES, (2, 1, 1, 1)),
            {},
            r"belongs to another network: in addition .*layer3.1.conv1.weight.*\(blocks",
        ),
        (
            ResNetEncoder((8, 32, 64, 128, 256), BLOCKS),
            {},
            r"conv1.weight is \(4, 3, 7, 7\) there and \(8, 3, 7, 7\) here",
        ),
        (ResNetEncoder(FEATURES, (2, 1, 3, 1)), {}, "lacks layer3.2.conv1.weight"),
        (
            AlexNetEncoder((4, 6, 8, 8, 10)),
            {},
            "lacks features.0.weight.*of a ResNet, which needs configs/resnet50.yaml",
        ),
        (ViTEncoder(48, 16, 24, 40, 4, 3), {}, "lacks cls_token.*of a ResNet, which needs configs/resnet50.yaml"),
        (
            ResNetEncoder(FEATURES, BLOCKS),
            {"b.": 1, "a.": 1},
            "contains 2 networks that fit, with the prefixes b., a.; save only one",
        ),
    ],
)
def test_a_file_of_another_network_says_what_to_change(encoder, change, message, tmp_path):
    weights = torchvision_weights()
    for prefix in change:
        weights |= {f"{prefix}{name}": value for name, value in torchvision_weights().items()}
    weights = {name: value for name, value in weights.items() if not change or name[:2] in change}
    torch.save(weights, tmp_path / "resnet.pth")
    with pytest.raises(InputError, match=message):
        load_imagenet(EmbeddingNet(encoder), tmp_path / "resnet.pth")


def test_without_the_config_for_it_the_message_names_it(tmp_path):
    torch.save(torchvision_weights(), tmp_path / "resnet.pth")
    net = SliceNet(UNetEncoder((4, 8)), UNetDecoder((4, 8)), 4)
    with pytest.raises(InputError, match="nothing in .* fits the network.*a ResNet, which needs configs/resnet50.yaml"):
        load_pretrained(net, tmp_path / "resnet.pth")


def test_a_pretexts_file_of_the_same_network_goes_to_pretrained(tmp_path):
    torch.manual_seed(3)
    torch.save(network().state_dict(), tmp_path / "model.pt")
    with pytest.raises(InputError, match="lacks conv1.weight.*--pretrained"):
        load_imagenet(network(), tmp_path / "model.pt")
    loaded = load_pretrained(network(), tmp_path / "model.pt")
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(torch.equal(value, saved[name]) for name, value in loaded.state_dict().items() if "head" not in name)
