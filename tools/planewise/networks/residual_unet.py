"""Taleb 2020's U-Net of residual blocks, cut into an encoder and a decoder so that weights move between bundles by name."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks import Convolution, UnetrUpBlock
from monai.networks.blocks.dynunet_block import UnetResBlock
from torch import Tensor, nn

#: Widths of the five levels (Taleb 2020, appendix A).
RESIDUAL_FEATURES = (32, 64, 128, 256, 512)


class ResidualEncoder(nn.Module):
    """The path down: a convolution that takes the image, and a residual block for each level (Taleb 2020, appendix A).

    Blocks after the first halve the grid by their stride. Only ``stem`` sees the image, so a network for more channels than
    its weights were pretrained with differs in one layer (`load_pretrained`).

    Args:
        features: channels of each level, from the finest.
        in_channels: channels of the image.
        norm: MONAI's name of the normalisation.
        spatial_dims: 2 for images, 3 for volumes.

    `forward` takes ``(B, in_channels, H, W, D)``, or ``(B, in_channels, H, W)`` of images, and returns the features of every
    level, finest first. Odd sides are rounded up when they are halved.
    """

    def __init__(
        self,
        features: Sequence[int] = RESIDUAL_FEATURES,
        in_channels: int = 1,
        norm: str | tuple = "batch",
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        if len(features) < 2:
            raise ValueError(f"a U-Net needs at least two levels, features is {tuple(features)}")
        self.out_channels = int(features[-1])
        self.stem = Convolution(spatial_dims, in_channels, features[0], adn_ordering="NA", act="leakyrelu", norm=norm)
        pairs = zip([features[0], *features[:-1]], features, strict=True)
        self.levels = nn.ModuleList(
            [
                UnetResBlock(spatial_dims, fine, deep, kernel_size=3, stride=2 if level else 1, norm_name=norm)
                for level, (fine, deep) in enumerate(pairs)
            ]
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        features: list[Tensor] = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class ResidualDecoder(nn.Module):
    """The path up: a transposed convolution, concatenation with the encoder's level, and a residual block for each step.

    Args:
        features, norm, spatial_dims: those of the encoder.

    `forward` takes the encoder's features and returns ``(B, out_channels, H, W, D)``, of images ``(B, out_channels, H, W)``,
    on the image's grid.

    Raises:
        ValueError: a side of the image is no multiple of ``2^(levels - 1)``.
    """

    def __init__(
        self, features: Sequence[int] = RESIDUAL_FEATURES, norm: str | tuple = "batch", spatial_dims: int = 3
    ) -> None:
        super().__init__()
        pairs = list(zip(features[:-1], features[1:], strict=True))[::-1]
        self.levels = nn.ModuleList(
            [UnetrUpBlock(spatial_dims, deep, fine, 3, 2, norm_name=norm, res_block=True) for fine, deep in pairs]
        )
        self.out_channels = int(features[0])

    def forward(self, features: list[Tensor]) -> Tensor:
        x, times = features[-1], 2 ** (len(features) - 1)
        for axis in range(2, x.dim()):
            if features[0].shape[axis] != times * x.shape[axis]:
                raise ValueError(
                    "the U-Net needs images whose sides are multiples of 2^(levels - 1); change image_size"
                )
        for depth, level in enumerate(self.levels):
            x = level(x, features[len(features) - 2 - depth])
        return x
