"""The U-Net of residual blocks in Taleb 2020, as an encoder and a decoder with weights that move between bundles by name."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks import Convolution, UnetrUpBlock
from monai.networks.blocks.dynunet_block import UnetResBlock
from torch import nn

from planewise.networks.levels import LevelsDecoder, LevelsEncoder, level_pairs

#: Widths of the five levels (Taleb 2020, appendix A).
RESIDUAL_FEATURES = (32, 64, 128, 256, 512)


class ResidualEncoder(LevelsEncoder):
    """Contracting path: a convolution on the image, and a residual block for each level (Taleb 2020, appendix A).

    Every block except the first halves the grid with its stride. Only ``stem`` sees the image, so a network for more
    channels than in pretraining differs in a single layer (`load_pretrained`).

    Args:
        features: channels of each level, from the finest.
        in_channels: channels of the image.
        norm: MONAI's name of the normalisation.
        spatial_dims: 2 for images, 3 for volumes.

    `forward` takes ``(B, in_channels, H, W, D)`` or, for images, ``(B, in_channels, H, W)``, and returns the features of
    every level, finest first. When an odd side is halved, the result is rounded up.
    """

    def __init__(
        self,
        features: Sequence[int] = RESIDUAL_FEATURES,
        in_channels: int = 1,
        norm: str | tuple = "batch",
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        self.out_channels = int(features[-1])
        #: Smallest side of an image, voxels. Instance normalisation needs more than one voxel at the deepest level.
        self.smallest_side = 2 ** (len(features) - 1) + 1 if norm == "instance" else 1
        self.stem = Convolution(spatial_dims, in_channels, features[0], adn_ordering="NA", act="leakyrelu", norm=norm)
        pairs = [(features[0], features[0]), *level_pairs(features)]
        self.levels = nn.ModuleList(
            [
                UnetResBlock(spatial_dims, fine, deep, kernel_size=3, stride=2 if level else 1, norm_name=norm)
                for level, (fine, deep) in enumerate(pairs)
            ]
        )


class ResidualDecoder(LevelsDecoder):
    """Expanding path. Each level has a transposed convolution, a concatenation with the encoder's level, and a residual
    block.

    Args:
        features, norm, spatial_dims: the same values as for the encoder.

    `forward` takes the encoder's features and returns ``(B, out_channels, H, W, D)`` or, for images,
    ``(B, out_channels, H, W)``, on the image's grid.

    Raises:
        ValueError: a side of the image is not a multiple of ``2^(levels - 1)``.
    """

    def __init__(
        self, features: Sequence[int] = RESIDUAL_FEATURES, norm: str | tuple = "batch", spatial_dims: int = 3
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            [
                UnetrUpBlock(spatial_dims, deep, fine, 3, 2, norm_name=norm, res_block=True)
                for fine, deep in reversed(level_pairs(features))
            ]
        )
        self.out_channels = int(features[0])
        #: The sides of an image must be multiples of this number of voxels, so that the output has the image's size.
        self.side_multiple = 2 ** (len(features) - 1)
