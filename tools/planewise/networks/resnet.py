"""ResNet-50 with torchvision's names, as an encoder."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets.resnet import ResNet, ResNetBottleneck
from torch import Tensor

from planewise.errors import InputError

#: Channels of ResNet-50's five levels (He 2016, Table 1).
RESNET50_FEATURES = (64, 256, 512, 1024, 2048)
#: Number of blocks of each level after the first.
RESNET50_BLOCKS = (3, 4, 6, 3)


class ResNetEncoder(ResNet):
    """MONAI's residual network of bottleneck blocks in 2D, which returns all its levels (He 2016; by default ResNet-50).

    The state dict has torchvision's names (``layer1.0.conv1.weight``, ...), which converted SimCLR and BYOL files also
    use. A file of ImageNet weights therefore loads unchanged (`load_imagenet`).

    Args:
        features: channels of the five levels, from the finest: (W, 4 W, 8 W, 16 W, 32 W).
        blocks: number of blocks in each level from the second to the fifth.

    `forward` takes ``(B, 1, H, W)``, repeats the channel three times, and returns the features of five levels, finest
    first, at H/2 to H/32. If H and W are multiples of 32, a `UNetDecoder` with the same features and a ``stem_stride`` of
    2 returns to the image's grid.
    """

    def __init__(self, features: Sequence[int] = RESNET50_FEATURES, blocks: Sequence[int] = RESNET50_BLOCKS) -> None:
        width = int(features[0])
        if list(features) != [width, 4 * width, 8 * width, 16 * width, 32 * width]:
            raise InputError(
                f"--features must be W, 4 W, 8 W, 16 W, 32 W for a ResNet, got {list(features)}; "
                f"set {[width, 4 * width, 8 * width, 16 * width, 32 * width]}"
            )
        if len(blocks) != 4:
            raise InputError(
                f"--blocks must be four numbers, because a ResNet has four levels of blocks, got {list(blocks)}"
            )
        super().__init__(
            ResNetBottleneck,
            list(blocks),
            [width, 2 * width, 4 * width, 8 * width],
            spatial_dims=2,
            n_input_channels=3,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        self.out_channels = int(features[-1])
        #: the module whose activations saliency uses
        self.last_features = "layer4"

    def forward(self, image: Tensor) -> list[Tensor]:
        first = self.act(self.bn1(self.conv1(image.expand(-1, 3, -1, -1))))
        second = self.layer1(self.maxpool(first))
        third = self.layer2(second)
        fourth = self.layer3(third)
        return [first, second, third, fourth, self.layer4(fourth)]
