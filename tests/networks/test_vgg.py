from __future__ import annotations

import pytest
import torch
from planewise.networks import EmbeddingNet, VggEncoder, load_imagenet, load_pretrained
from torch.nn.functional import conv2d, max_pool2d, relu

SMALL = (4, 6, 8, 10, 12)

#: Index and shape of torchvision's VGG16 convolutions, written out; there is a pooling before the indices 5, 10, 17 and 24.
CONVOLUTIONS = {
    0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256), 14: (256, 256),
    17: (512, 256), 19: (512, 512), 21: (512, 512), 24: (512, 512), 26: (512, 512), 28: (512, 512),
}  # fmt: skip


def torchvision_weights(widths: tuple[int, ...] = SMALL) -> dict[str, torch.Tensor]:
    """A file with torchvision's names, with the channels of the blocks in ``widths``, including the classifier."""
    torch.manual_seed(1)
    narrow = dict(zip((64, 128, 256), widths, strict=False)) | {3: 3}
    weights = {}
    for index, (out, into) in CONVOLUTIONS.items():
        rows = widths[4] if index >= 24 else narrow.get(out, widths[3])
        columns = widths[4] if index > 24 else narrow.get(into, widths[3])
        weights[f"features.{index}.weight"] = torch.randn(rows, columns, 3, 3) * (2 / 9 / columns) ** 0.5
        weights[f"features.{index}.bias"] = torch.randn(rows) * 0.02
    return weights | {"classifier.6.weight": torch.zeros(10, 8), "classifier.6.bias": torch.zeros(10)}


def vgg_written_out(image: torch.Tensor, weights: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Layer by layer, as Simonyan 2015 lists column D."""
    x, levels = torch.cat([image] * 3, dim=1), []
    for index in CONVOLUTIONS:
        if index in (5, 10, 17, 24):
            levels.append(x)
            x = max_pool2d(x, 2)
        x = relu(conv2d(x, weights[f"features.{index}.weight"], weights[f"features.{index}.bias"], padding=1))
    return [*levels, x, max_pool2d(x, 2)]


@pytest.mark.parametrize("load", [load_imagenet, load_pretrained])
def test_torchvisions_file_gives_the_network_that_it_is_of(load, tmp_path):
    weights = torchvision_weights()
    torch.save(weights, tmp_path / "vgg16.pth")
    net = load(EmbeddingNet(VggEncoder(SMALL)), tmp_path / "vgg16.pth").eval()
    image = torch.randn(2, 1, 64, 96)
    levels = net.encoder(image)
    for level, expected in zip(levels, vgg_written_out(image, weights), strict=True):
        assert torch.allclose(level, expected, atol=1e-5), level.shape
    assert [tuple(level.shape[1:]) for level in levels] == [
        (width, 64 // step, 96 // step) for width, step in zip((*SMALL, 12), (1, 2, 4, 8, 16, 32), strict=True)
    ]
    assert torch.allclose(net(image), levels[-1].mean((2, 3)))
    scripted = torch.jit.script(net)
    assert torch.allclose(scripted(image), net(image), atol=1e-6)
    assert scripted(image[:1, :, :32, :32]).shape == (1, 12)
