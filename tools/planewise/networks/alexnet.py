"""AlexNet's convolutions with torchvision's names, and a decoder that returns to the image's grid."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks import Convolution
from monai.networks.nets.basic_unet import UpCat
from torch import Tensor, nn

from planewise.errors import InputError

#: Channels of the five convolutions (Krizhevsky 2014, the one-column form of torchvision's ImageNet weights).
ALEXNET_FEATURES = (64, 192, 384, 256, 256)
_ACTIVATION = ("relu", {"inplace": True})


class AlexNetEncoder(nn.Module):
    """The five convolutions of AlexNet (Krizhevsky 2012; the paper's backbone for the knee, section 5.3).

    The state dict has torchvision's names (``features.0.weight``, ...), so a file of ImageNet weights loads unchanged
    (`load_imagenet`). Without a file, the initial weights preserve the size of activations (He 2015). The network has no
    normalisation, so with PyTorch's own initialisation, activations would vanish and training would not get beyond chance.

    Args:
        features: channels of the five convolutions.

    `forward` takes ``(B, 1, H, W)``, repeats the channel three times ("we stack the T2W images three times"), and returns the
    features of four levels, finest first. If H and W are multiples of 32 and at least 64, the first convolution has H/4 - 1
    rows, the second H/8 - 1, the fifth H/16 - 1, and the fifth after pooling H/32 - 1.
    """

    def __init__(self, features: Sequence[int] = ALEXNET_FEATURES) -> None:
        super().__init__()
        if len(features) != 5:
            raise InputError(
                f"--features must be five widths, because AlexNet has five convolutions, got {list(features)}"
            )
        first, second, third, fourth, fifth = features
        self.out_channels = fifth
        #: Smallest side of an image, pixels. The last pooling needs an input of 3 x 3.
        self.smallest_side = 63
        #: the module whose activations saliency uses
        self.last_features = "features.11"
        self.features = nn.Sequential(
            nn.Conv2d(3, first, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(first, second, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(second, third, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(third, fourth, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(fourth, fifth, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = image.expand(-1, 3, -1, -1)
        levels: list[Tensor] = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            # the inputs of the max poolings, and the final output
            if index in (1, 4, 11, 12):
                levels.append(x)
        return levels


class AlexNetDecoder(nn.Module):
    """Combine the levels of `AlexNetEncoder` to one map on the image's grid, like the expanding path of a U-Net.

    The paper does not say how it regresses heatmaps with AlexNet; this decoder is the simplest way. The last step reverses
    the stride of the first convolution with a transposed convolution of eight pixels, whose output has the size of the image:
    (H/4 - 2) * 4 + 8 = H.

    Args:
        features: the encoder's features.
        norm: MONAI's name of the normalisation.

    `forward` takes the encoder's features and returns ``(B, out_channels, H, W)``.
    """

    def __init__(self, features: Sequence[int] = ALEXNET_FEATURES, norm: str | tuple = "batch") -> None:
        super().__init__()
        first, second, _, _, fifth = features
        self.levels = nn.ModuleList(
            [
                UpCat(2, deep, fine, fine, _ACTIVATION, norm, True)
                for deep, fine in ((fifth, fifth), (fifth, second), (second, first))
            ]
        )
        # half of the finest level's channels, because channels are expensive on the image's own grid
        self.out_channels = max(first // 2, 1)
        #: The sides of an image must be multiples of this number of pixels, so that the output has the image's size.
        self.side_multiple = 32
        self.unstem = Convolution(
            2,
            first,
            self.out_channels,
            strides=4,
            kernel_size=8,
            adn_ordering="NA",
            act=_ACTIVATION,
            norm=norm,
            padding=0,
            is_transposed=True,
            output_padding=0,
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        if (features[0].shape[2] + 1) % 8 != 0 or (features[0].shape[3] + 1) % 8 != 0:
            raise ValueError("AlexNet's decoder needs images with sides that are multiples of 32; change image_size")
        x = features[-1]
        for depth, level in enumerate(self.levels):
            x = level(x, features[len(features) - 2 - depth])
        return self.unstem(x)
