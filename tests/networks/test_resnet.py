from __future__ import annotations

import pytest
import torch
from planewise.errors import InputError
from planewise.networks import ResNetEncoder, SliceNet, UNetDecoder, load_imagenet, load_pretrained
from planewise.networks.named_parts import EmbeddingNet
from torch.nn.functional import batch_norm, conv2d, max_pool2d, relu

FEATURES, BLOCKS = (4, 16, 32, 64, 128), (2, 1, 2, 1)


def torchvision_shapes(
    width: int, blocks: tuple[int, ...], classes: int, basic: bool = False
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's and timm's ResNets with bottleneck or basic blocks, written out."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, norm: str, out: int, into: int, kernel: int) -> None:
        shapes[f"{name}.weight"] = (out, into, kernel, kernel)
        shapes.update({f"{norm}.{kind}": (out,) for kind in ("weight", "bias", "running_mean", "running_var")})

    convolution("conv1", "bn1", width, 3, 7)
    into = width
    for level, count in enumerate(blocks, start=1):
        inner = width * 2 ** (level - 1)
        outer = inner if basic else 4 * inner
        for number in range(count):
            block = f"layer{level}.{number}"
            bottleneck = ((inner, into, 1), (inner, inner, 3), (outer, inner, 1))
            layers = ((inner, into, 3), (inner, inner, 3)) if basic else bottleneck
            for index, (out, source, kernel) in enumerate(layers, start=1):
                convolution(f"{block}.conv{index}", f"{block}.bn{index}", out, source, kernel)
            if number == 0 and into != outer:
                convolution(f"{block}.downsample.0", f"{block}.downsample.1", outer, into, 1)
            into = outer
    return shapes | {"fc.weight": (classes, into), "fc.bias": (classes,)}


def torchvision_weights(
    width: int = 4, blocks: tuple[int, ...] = BLOCKS, basic: bool = False
) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    weights = {}
    for name, shape in torchvision_shapes(width, blocks, 10, basic).items():
        spread = 0.3 if len(shape) > 1 else 0.1
        middle = 1.0 if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")) else 0.0
        weights[name] = middle + spread * torch.randn(shape).clamp(-2, 2)
    return weights


def resnet_written_out(image: torch.Tensor, weights: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Block by block as in He 2016, Fig. 5 and Table 1; of bottleneck blocks, the strides are in the 3x3 convolutions, as
    in torchvision.
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
            changes, bottleneck = f"{name}.downsample.0.weight" in weights, f"{name}.conv3.weight" in weights
            shortcut = step(x, f"{name}.downsample.0", f"{name}.downsample.1", stride) if changes else x
            y = relu(step(x, f"{name}.conv1", f"{name}.bn1", 1 if bottleneck else stride))
            y = step(y, f"{name}.conv2", f"{name}.bn2", stride if bottleneck else 1)
            y = step(relu(y), f"{name}.conv3", f"{name}.bn3") if bottleneck else y
            x = relu(y + shortcut)
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


def test_basic_blocks_as_lightly_train_exports_them(tmp_path):
    """The state dict of ResNet-18, torchvision's or timm's, as it is (``exported_last.pt``)."""
    weights, features = torchvision_weights(basic=True), (4, 4, 8, 16, 32)
    torch.save(weights, tmp_path / "exported_last.pt")
    net = EmbeddingNet(ResNetEncoder(features, BLOCKS))
    net = load_pretrained(net, tmp_path / "exported_last.pt").eval()
    image = torch.randn(2, 1, 64, 96)
    for level, expected in zip(net.encoder(image), resnet_written_out(image, weights), strict=True):
        assert torch.allclose(level, expected, atol=1e-4), level.shape
    with pytest.raises(InputError):  # fewer blocks than in the file
        load_pretrained(EmbeddingNet(ResNetEncoder(features, (1, 1, 1, 1))), tmp_path / "exported_last.pt")
    with pytest.raises(InputError):
        ResNetEncoder((4, 4, 8, 16, 64))


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
    with pytest.raises(ValueError):
        net(torch.rand(1, 1, 48, 48))
