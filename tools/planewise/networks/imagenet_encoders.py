"""Encoders with the names of public ImageNet weights (AlexNet, VGG, ResNet, DenseNet), and a decoder for AlexNet."""

from __future__ import annotations

import re
from collections.abc import Sequence

from monai.networks.blocks import Convolution
from monai.networks.nets.basic_unet import UpCat
from monai.networks.nets.densenet import DenseNet
from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck
from torch import Tensor, nn
from torch.nn.functional import relu

from planewise.errors import InputError

#: Channels of the five convolutions (Krizhevsky 2014, the one-column form of torchvision's ImageNet weights).
ALEXNET_FEATURES = (64, 192, 384, 256, 256)
#: Channels and numbers of convolutions of VGG16's five blocks (Simonyan 2015, Table 1, column D).
VGG16_FEATURES, VGG16_BLOCKS = (64, 128, 256, 512, 512), (2, 2, 3, 3, 3)
#: Layers of DenseNet121's four blocks (Huang 2017, Table 1).
DENSENET121_BLOCKS = (6, 12, 24, 16)
#: Channels of ResNet-50's five levels, and number of blocks of each level after the first (He 2016, Table 1).
RESNET50_FEATURES, RESNET50_BLOCKS = (64, 256, 512, 1024, 2048), (3, 4, 6, 3)
_ACTIVATION = ("relu", {"inplace": True})
#: MONAI's names of the parts of a layer of DenseNet.
_LAYER = re.compile(r"(denselayer\d+)\.layers\.(norm|conv)([12])\.")


class _Convolutions(nn.Module):
    """Convolutions with torchvision's names (``features.0.weight``, ...), of which the layers ``taken`` give the outputs.
    Initial weights preserve the size of activations (He 2015, in the ``mode`` of `torch.nn.init.kaiming_normal_`), because
    there is no normalisation."""

    def __init__(self, layers: Sequence[nn.Module], taken: Sequence[int], mode: str) -> None:
        super().__init__()
        self.taken = list(taken)
        # the last convolution, after its ReLU
        self.last_features = f"features.{len(layers) - 2}"
        self.features = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = image.expand(-1, 3, -1, -1)
        levels: list[Tensor] = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taken:
                levels.append(x)
        return levels


class AlexNetEncoder(_Convolutions):
    """The five convolutions of AlexNet (Krizhevsky 2012; the paper's backbone for the knee), with ``features`` channels.

    `forward` takes ``(B, 1, H, W)``, repeats the channel three times ("we stack the T2W images three times"), and returns the
    features of four levels, finest first. If H and W are multiples of 32 and at least 64, the first convolution has H/4 - 1
    rows, the second H/8 - 1, the fifth H/16 - 1, and the fifth after pooling H/32 - 1.
    """

    def __init__(self, features: Sequence[int] = ALEXNET_FEATURES) -> None:
        first, second, third, fourth, fifth = _of_length(5, features, "features")
        layers: list[nn.Module] = []
        for convolution, pooled in (
            (nn.Conv2d(3, first, kernel_size=11, stride=4, padding=2), True),
            (nn.Conv2d(first, second, kernel_size=5, padding=2), True),
            (nn.Conv2d(second, third, kernel_size=3, padding=1), False),
            (nn.Conv2d(third, fourth, kernel_size=3, padding=1), False),
            (nn.Conv2d(fourth, fifth, kernel_size=3, padding=1), True),
        ):
            layers += [convolution, nn.ReLU(inplace=True), *[nn.MaxPool2d(kernel_size=3, stride=2)] * pooled]
        # the inputs of the max poolings, and the final output
        super().__init__(layers, (1, 4, 11, 12), "fan_in")
        self.out_channels = fifth


class AlexNetDecoder(nn.Module):
    """Combine the levels of `AlexNetEncoder` to one map on the image's grid, like the expanding path of a U-Net.

    The paper does not say how it regresses heatmaps with AlexNet. The last step reverses the stride of the first convolution
    with a transposed convolution of eight pixels, whose output has the size of the image: (H/4 - 2) * 4 + 8 = H.

    Args:
        features: the encoder's features.
        norm: MONAI's name of the normalisation.

    `forward` takes the encoder's features and returns ``(B, out_channels, H, W)``.
    """

    def __init__(self, features: Sequence[int] = ALEXNET_FEATURES, norm: str | tuple = "batch") -> None:
        super().__init__()
        first, second, _, _, fifth = features
        pairs = ((fifth, fifth), (fifth, second), (second, first))
        self.levels = nn.ModuleList([UpCat(2, deep, fine, fine, _ACTIVATION, norm, True) for deep, fine in pairs])
        # half of the finest level's channels, because channels are expensive on the image's own grid
        self.out_channels = max(first // 2, 1)
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
        x = features[-1]
        for depth, level in enumerate(self.levels):
            x = level(x, features[len(features) - 2 - depth])
        return self.unstem(x)


class VggEncoder(_Convolutions):
    """The convolutions of VGG (Simonyan 2015; by default VGG16, a backbone of Nakashima), initialised as in torchvision.

    Args:
        features, blocks: channels of the five blocks, and number of convolutions of each.

    `forward` takes ``(B, 1, H, W)``, repeats the channel three times, and returns the features of six levels, finest first:
    the end of each block at H to H/16, and the end of the last block after pooling at H/32.
    """

    def __init__(self, features: Sequence[int] = VGG16_FEATURES, blocks: Sequence[int] = VGG16_BLOCKS) -> None:
        layers: list[nn.Module] = []
        taken: list[int] = []
        into = 3
        for width, count in zip(_of_length(5, features, "features"), _of_length(5, blocks, "blocks"), strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(into, width, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
                into = width
            taken.append(len(layers) - 1)
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        super().__init__(layers, [*taken, len(layers) - 1], "fan_out")
        self.out_channels = int(features[-1])


class ResNetEncoder(ResNet):
    """MONAI's residual network in 2D, which returns all its levels (He 2016; by default ResNet-50).

    The state dict has torchvision's names (``layer1.0.conv1.weight``, ...), which timm's and lightly-train's files and
    converted SimCLR and BYOL files also use. Such a file therefore loads unchanged (`load_imagenet`).

    Args:
        features: channels of the five levels, from the finest: (W, 4 W, 8 W, 16 W, 32 W) with bottleneck blocks, or (W, W,
            2 W, 4 W, 8 W) with basic blocks, which ResNet-18 and ResNet-34 have.
        blocks: number of blocks in each level from the second to the fifth.

    `forward` takes ``(B, 1, H, W)``, repeats the channel three times, and returns the features of five levels, finest
    first, at H/2 to H/32. A `UNetDecoder` with the same features and a ``stem_stride`` of 2 returns to the image's grid.
    """

    def __init__(self, features: Sequence[int] = RESNET50_FEATURES, blocks: Sequence[int] = RESNET50_BLOCKS) -> None:
        width = int(_of_length(5, features, "features")[0])
        block = ResNetBlock if features[1] == width else ResNetBottleneck
        if list(features) != [width, *(width * 2**level * block.expansion for level in range(4))]:
            raise InputError(
                f"--features must be W, 4 W, 8 W, 16 W, 32 W for a ResNet, or W, W, 2 W, 4 W, 8 W, got {list(features)}"
            )
        super().__init__(
            block,
            _of_length(4, blocks, "blocks"),
            [width, 2 * width, 4 * width, 8 * width],
            spatial_dims=2,
            n_input_channels=3,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        self.out_channels = int(features[-1])
        self.last_features = "layer4"

    def forward(self, image: Tensor) -> list[Tensor]:
        first = self.act(self.bn1(self.conv1(image.expand(-1, 3, -1, -1))))
        second = self.layer1(self.maxpool(first))
        third = self.layer2(second)
        fourth = self.layer3(third)
        return [first, second, third, fourth, self.layer4(fourth)]


class DenseNetEncoder(DenseNet):
    """MONAI's densely connected network in 2D (Huang 2017; by default DenseNet121, a backbone of Nakashima).

    Args:
        init_features: channels of the first convolution.
        growth_rate: channels that every layer adds.
        blocks: number of layers in each of the four blocks.

    `forward` takes ``(B, 3, H, W)`` or ``(B, 1, H, W)``; a single channel is repeated three times. It returns the features
    of five levels, finest first: the first convolution at H/2, and the end of each block at H/4 to H/32.
    """

    def __init__(
        self, init_features: int = 64, growth_rate: int = 32, blocks: Sequence[int] = DENSENET121_BLOCKS
    ) -> None:
        super().__init__(
            spatial_dims=2,
            in_channels=3,
            out_channels=1,
            init_features=init_features,
            growth_rate=growth_rate,
            block_config=_of_length(4, blocks, "blocks"),
        )
        self.out_channels = int(self.class_layers.out.in_features)
        # training in several processes would wait for the gradient of the classifier, which is never used
        self.class_layers = nn.Identity()
        self.last_features = "features.norm5"

    def forward(self, image: Tensor) -> list[Tensor]:
        parts = self.features
        first = parts.relu0(parts.norm0(parts.conv0(image.expand(-1, 3, -1, -1))))
        second = parts.denseblock1(parts.pool0(first))
        third = parts.denseblock2(parts.transition1(second))
        fourth = parts.denseblock3(parts.transition2(third))
        # the ReLU is not in place, because saliency uses the output of the normalisation
        return [first, second, third, fourth, relu(parts.norm5(parts.denseblock4(parts.transition3(fourth))))]

    def public_names(self) -> list[dict[str, str]]:
        """The names of torchvision's file with ours: it has ``denselayer1.norm.1.`` for ``denselayer1.layers.norm1.``."""
        own = (name for name in self.state_dict() if not name.endswith("num_batches_tracked"))
        return [{_LAYER.sub(r"\1.\2.\3.", name): name for name in own}]


def _of_length(count: int, given: Sequence[int], name: str) -> list[int]:
    if len(given) != count:
        raise InputError(f"--{name} must be {count} numbers for this network, got {list(given)}")
    return list(given)
