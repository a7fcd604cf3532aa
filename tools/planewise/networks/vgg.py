"""VGG16's convolutions with torchvision's names, as an encoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from planewise.errors import InputError

#: Channels of VGG16's five blocks (Simonyan 2015, Table 1, column D).
VGG16_FEATURES = (64, 128, 256, 512, 512)
#: Number of convolutions of each block.
VGG16_BLOCKS = (2, 2, 3, 3, 3)


class VggEncoder(nn.Module):
    """The convolutions of VGG (Simonyan 2015; by default VGG16, a backbone of Nakashima).

    The state dict has torchvision's names (``features.0.weight``, ...), so a file of ImageNet weights loads unchanged
    (`load_imagenet`). Without a file, weights are initialised as in torchvision (He 2015). With PyTorch's own
    initialisation, activations would vanish over 13 layers, because there is no normalisation.

    Args:
        features: channels of the five blocks.
        blocks: number of convolutions of each block.

    `forward` takes ``(B, 1, H, W)``, repeats the channel three times, and returns the features of six levels, finest first:
    the end of each block at H to H/16, and the end of the last block after pooling at H/32.

    Raises:
        InputError: the number of blocks is not five, or the image has fewer than 32 pixels a side.
    """

    def __init__(self, features: Sequence[int] = VGG16_FEATURES, blocks: Sequence[int] = VGG16_BLOCKS) -> None:
        super().__init__()
        if len(features) != 5 or len(blocks) != 5:
            raise InputError(
                f"--features and --blocks must be five numbers each, because VGG has five blocks, got {list(features)} and "
                f"{list(blocks)}"
            )
        self.out_channels = int(features[-1])
        layers: list[nn.Module] = []
        #: indices of the layers whose outputs are returned
        self.taken: list[int] = []
        into = 3
        for width, count in zip(features, blocks, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(into, width, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
                into = width
            self.taken.append(len(layers) - 1)
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.taken.append(len(layers) - 1)
        #: Smallest side of an image, pixels. The image is halved five times.
        self.smallest_side = 32
        #: the module whose activations saliency uses
        self.last_features = f"features.{len(layers) - 2}"
        self.features = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> list[Tensor]:
        if image.shape[2] < 32 or image.shape[3] < 32:
            raise InputError("VGG needs images of at least 32 pixels a side; raise image_size")
        x = image.expand(-1, 3, -1, -1)
        levels: list[Tensor] = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taken:
                levels.append(x)
        return levels
