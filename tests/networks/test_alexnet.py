from __future__ import annotations

import pytest
import torch
from planewise.networks import AlexNetDecoder, AlexNetEncoder, LocationHead, SliceNet, load_imagenet
from torch.nn.functional import conv2d, max_pool2d, relu

SMALL = (4, 6, 8, 8, 10)

#: Names and shapes of torchvision's AlexNet; its classifier is not part of the encoder.
TORCHVISION = {
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
    "classifier.1": (4096, 9216),
    "classifier.4": (4096, 4096),
    "classifier.6": (1000, 4096),
}


def torchvision_weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    weights = {}
    for name, shape in TORCHVISION.items():
        weights[f"{name}.weight"], weights[f"{name}.bias"] = torch.randn(shape) * 0.02, torch.randn(shape[0]) * 0.02
    return weights


def alexnet_written_out(image: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """The convolutions one after the other, as Krizhevsky 2014 lists them."""
    x = torch.cat([image] * 3, dim=1)
    for name, stride, padding, pooled in (
        ("features.0", 4, 2, True), ("features.3", 1, 2, True), ("features.6", 1, 1, False), ("features.8", 1, 1, False),
        ("features.10", 1, 1, True),
    ):  # fmt: skip
        x = relu(conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding))
        x = max_pool2d(x, 3, 2) if pooled else x
    return x


def test_torchvisions_file_loads_by_its_own_names(tmp_path):
    weights = torchvision_weights()
    torch.save(weights, tmp_path / "alexnet.pth")
    net = load_imagenet(SliceNet(AlexNetEncoder(), location=LocationHead(256)), tmp_path / "alexnet.pth").eval()
    image = torch.randn(2, 1, 128, 96)
    assert torch.allclose(net.encoder(image)[-1], alexnet_written_out(image, weights), atol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (96, 128), (256, 224)])
def test_levels_and_the_way_back_to_the_images_grid(size):
    encoder, decoder = AlexNetEncoder(SMALL), AlexNetDecoder(SMALL)
    levels = encoder(torch.rand(2, 1, *size))
    for level, channels, step in zip(levels, (4, 6, 10, 10), (4, 8, 16, 32), strict=True):
        assert level.shape == (2, channels, *(side // step - 1 for side in size))
    assert decoder(levels).shape == (2, decoder.out_channels, *size)


def test_the_last_step_lies_where_the_first_convolution_does():
    """An output of the finest level is centred on the pixels that it depends on."""
    decoder = AlexNetDecoder(SMALL).eval()
    undo = decoder.unstem.conv
    torch.nn.init.ones_(undo.weight)
    torch.nn.init.zeros_(undo.bias)
    fine = torch.zeros(1, 4, 15, 15)
    fine[0, :, 7, 5] = 1
    rows, columns = undo(fine)[0, 0].nonzero().T
    encoder = AlexNetEncoder(SMALL)
    first = encoder.features[0]
    torch.nn.init.ones_(first.weight)
    image = torch.zeros(1, 3, 64, 64, requires_grad=True)
    first(image)[0, 0, 7, 5].backward()
    seen_rows, seen_columns = image.grad[0, 0].nonzero().T
    assert float((rows.float().mean() - seen_rows.float().mean()).abs()) <= 0.5
    assert float((columns.float().mean() - seen_columns.float().mean()).abs()) <= 0.5
