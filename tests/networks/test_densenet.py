from __future__ import annotations

import pytest
import torch
from planewise.networks import DenseNetEncoder, EmbeddingNet, load_imagenet, load_pretrained
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, max_pool2d, relu

FIRST, GROWTH, BLOCKS = 6, 4, (2, 1, 2, 1)


def torchvision_shapes(first: int, growth: int, blocks: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Names and shapes in torchvision's DenseNet file, written out."""
    shapes: dict[str, tuple[int, ...]] = {"features.conv0.weight": (first, 3, 7, 7)}

    def norm(name: str, width: int) -> None:
        shapes.update({f"{name}.{kind}": (width,) for kind in ("weight", "bias", "running_mean", "running_var")})

    norm("features.norm0", first)
    width = first
    for block, count in enumerate(blocks, start=1):
        for number in range(1, count + 1):
            layer = f"features.denseblock{block}.denselayer{number}"
            norm(f"{layer}.norm.1", width)
            shapes[f"{layer}.conv.1.weight"] = (4 * growth, width, 1, 1)
            norm(f"{layer}.norm.2", 4 * growth)
            shapes[f"{layer}.conv.2.weight"] = (growth, 4 * growth, 3, 3)
            width += growth
        if block < 4:
            norm(f"features.transition{block}.norm", width)
            shapes[f"features.transition{block}.conv.weight"] = (width // 2, width, 1, 1)
            width //= 2
    norm("features.norm5", width)
    return shapes | {"classifier.weight": (10, width), "classifier.bias": (10,)}


def torchvision_weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    weights = {}
    for name, shape in torchvision_shapes(FIRST, GROWTH, BLOCKS).items():
        spread = 0.3 if len(shape) > 1 else 0.1
        middle = 1.0 if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")) else 0.0
        weights[name] = middle + spread * torch.randn(shape).clamp(-2, 2)
    return weights


def densenet_written_out(image: torch.Tensor, weights: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Layer by layer as in Huang 2017, section 3 and Table 1: normalise, rectify, convolve."""

    def normed(x, name):
        kinds = (weights[f"features.{name}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias"))
        return relu(batch_norm(x, *kinds))

    x = conv2d(torch.cat([image] * 3, dim=1), weights["features.conv0.weight"], stride=2, padding=3)
    levels = [normed(x, "norm0")]
    x = max_pool2d(levels[0], 3, 2, 1)
    for block, count in enumerate(BLOCKS, start=1):
        for number in range(1, count + 1):
            layer = f"denseblock{block}.denselayer{number}"
            new = conv2d(normed(x, f"{layer}.norm.1"), weights[f"features.{layer}.conv.1.weight"])
            new = conv2d(normed(new, f"{layer}.norm.2"), weights[f"features.{layer}.conv.2.weight"], padding=1)
            x = torch.cat([x, new], dim=1)
        levels.append(x)
        if block < 4:
            x = normed(x, f"transition{block}.norm")
            x = avg_pool2d(conv2d(x, weights[f"features.transition{block}.conv.weight"]), 2)
    return [*levels[:-1], normed(levels[-1], "norm5")]


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("load", [load_imagenet, load_pretrained])
def test_torchvisions_file_gives_the_network_that_it_is_of(load, prefix, tmp_path):
    weights = torchvision_weights()
    torch.save({f"{prefix}{name}": value for name, value in weights.items()}, tmp_path / "densenet.pth")
    net = load(EmbeddingNet(DenseNetEncoder(FIRST, GROWTH, BLOCKS)), tmp_path / "densenet.pth").eval()
    image = torch.randn(2, 1, 64, 96)
    levels = net.encoder(image)
    for level, expected in zip(levels, densenet_written_out(image, weights), strict=True):
        assert torch.allclose(level, expected, atol=1e-4), level.shape
    assert [level.shape[2] for level in levels] == [32, 16, 8, 4, 2]
    scripted = torch.jit.script(net)
    assert torch.allclose(scripted(image), net(image), atol=1e-6)
    assert scripted(image[:1, :, :32, :32]).shape == (1, net.out_channels)
