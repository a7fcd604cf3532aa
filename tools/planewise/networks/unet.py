"""The paper's U-Net, as an encoder and a decoder, so that weights move between bundles by name."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks import Convolution
from monai.networks.nets.basic_unet import Down, TwoConv, UpCat
from torch import Tensor, nn

from planewise.networks.levels import LevelsDecoder, LevelsEncoder, level_pairs

#: Ronneberger's widths, as in the paper's network.
PAPER_FEATURES = (64, 128, 256, 512, 1024)
_ACTIVATION = ("relu", {"inplace": True})


class UNetEncoder(LevelsEncoder):
    """Contracting path: two 3x3 convolutions per level, with max pooling between levels, which halves the grid.

    Args:
        features: channels of each level, from the finest.
        in_channels: channels of the image.
        stem_stride: 1 in the paper. With 2 or 4, the path starts with a strided convolution, so that the finest level
            works on a coarser grid; a decoder with the same stride returns to the image's grid. This saves most of the
            time if the finest level has few channels (as in the demo).
        norm: MONAI's name of the normalisation.
        spatial_dims: 2 for images, 3 for volumes, which have 3x3x3 convolutions.

    `forward` takes ``(B, in_channels, H, W)``, or ``(B, in_channels, H, W, D)`` for volumes, with sides that are
    multiples of ``stem_stride * 2^(levels - 1)``, and returns the features of every level, finest first.
    """

    def __init__(
        self,
        features: Sequence[int] = PAPER_FEATURES,
        in_channels: int = 1,
        stem_stride: int = 1,
        norm: str | tuple = "batch",
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        self.out_channels = features[-1]
        #: Smallest side of an image, pixels: max pooling halves the image level by level.
        self.smallest_side = stem_stride * 2 ** (len(features) - 1)
        stem: nn.Module = nn.Identity()
        if stem_stride > 1:
            stem = _patchwise(spatial_dims, in_channels, features[0], stem_stride, norm, transposed=False)
            in_channels = features[0]
        self.stem = stem
        # keep the bias as in the paper, although the batch normalisation after the convolution makes it redundant
        first = TwoConv(spatial_dims, in_channels, features[0], _ACTIVATION, norm, True)
        downs = [Down(spatial_dims, fine, deep, _ACTIVATION, norm, True) for fine, deep in level_pairs(features)]
        self.levels = nn.ModuleList([first, *downs])


class UNetDecoder(LevelsDecoder):
    """Expanding path: transposed convolution, concatenation with the encoder's level, two 3x3 convolutions.

    Args:
        features, stem_stride, norm, spatial_dims: the encoder's values.

    `forward` takes the encoder's features and returns ``(B, out_channels, H, W)``, or ``(B, out_channels, H, W, D)``
    for volumes, on the image's grid.
    """

    def __init__(
        self,
        features: Sequence[int] = PAPER_FEATURES,
        stem_stride: int = 1,
        norm: str | tuple = "batch",
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        # no padding: it would be empty for valid sides, and torch 2.13 compiles its gradient wrongly
        self.levels = nn.ModuleList(
            [
                UpCat(spatial_dims, deep, fine, fine, _ACTIVATION, norm, True, is_pad=False)
                for fine, deep in reversed(level_pairs(features))
            ]
        )
        self.out_channels = features[0]
        #: The sides of an image must be multiples of this, pixels, so that the output has its size.
        self.side_multiple = stem_stride * 2 ** (len(features) - 1)
        unstem: nn.Module = nn.Identity()
        if stem_stride > 1:
            unstem = _patchwise(spatial_dims, features[0], self.out_channels, stem_stride, norm, transposed=True)
        self.unstem = unstem

    def forward(self, features: list[Tensor]) -> Tensor:
        return self.unstem(self.climb(features))


def _patchwise(
    spatial_dims: int, in_channels: int, out_channels: int, stride: int, norm: str | tuple, transposed: bool
) -> nn.Module:
    """Convolution of non-overlapping patches, or its inverse. Normalisation and ReLU are necessary: without them, the
    head's 1x1 convolution sees only linear features, and segmentation learns only the easiest class."""
    return Convolution(
        spatial_dims,
        in_channels,
        out_channels,
        strides=stride,
        kernel_size=stride,
        adn_ordering="NA",
        act=_ACTIVATION,
        norm=norm,
        padding=0,
        is_transposed=transposed,
        output_padding=0 if transposed else None,
    )
