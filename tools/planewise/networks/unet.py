"""The U-Net of Zhang 2024 and that of residual blocks in Taleb 2020, each as an encoder and a decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution, UnetrUpBlock
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.nets.basic_unet import Down, TwoConv, UpCat
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, linear

from planewise.errors import InputError

#: Channels of the levels in the paper (from Ronneberger 2015).
PAPER_FEATURES = (64, 128, 256, 512, 1024)
_ACTIVATION = ("relu", {"inplace": True})
#: Widths of the five levels (Taleb 2020, appendix A).
RESIDUAL_FEATURES = (32, 64, 128, 256, 512)


class LevelsEncoder(nn.Module):
    """A ``stem``, followed by ``levels``. `forward` returns the features of every level, finest first."""

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        features: list[Tensor] = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class LevelsDecoder(nn.Module):
    """``levels`` that each double the grid and concatenate the encoder's features on the new grid, starting with the deepest
    level, and an ``unstem`` that returns to the image's grid.

    Raises:
        ValueError: a side of the image cannot be halved as often as there are levels.
    """

    def forward(self, features: list[Tensor]) -> Tensor:
        x, times = features[-1], 2 ** (len(features) - 1)
        for axis in range(2, x.dim()):
            if features[0].shape[axis] != times * x.shape[axis]:
                raise ValueError(
                    "the U-Net needs images with sides that are multiples of stem_stride * 2^(levels - 1); change image_size"
                )
        for depth, level in enumerate(self.levels):
            x = level(x, features[len(features) - 2 - depth])
        return self.unstem(x)


class PatchUpsampling(nn.ConvTranspose2d):
    """A transposed convolution whose stride is the side of its square kernel, so that each pixel becomes a patch.

    On a CPU, training in bfloat16 computes it as one product of matrices, because PyTorch's gradient of a transposed
    convolution takes up to three times as long.
    """

    def forward(self, image: Tensor) -> Tensor:
        bias = self.bias
        if bias is None or not self.training or image.dtype != torch.bfloat16 or image.device.type != "cpu":
            return conv_transpose2d(image, self.weight, bias, self.stride)
        side, count, height, width = self.kernel_size[0], len(image), image.shape[2], image.shape[3]
        weight = self.weight.permute(2, 3, 1, 0).flatten(0, 2)
        pixels = linear(image.permute(0, 2, 3, 1), weight, bias.repeat(side * side))
        rows = pixels.reshape(count, height, width, side, side * self.out_channels).transpose(2, 3)
        return rows.reshape(count, height * side, width * side, self.out_channels).permute(0, 3, 1, 2)


def level_pairs(features: Sequence[int]) -> list[tuple[int, int]]:
    """The channels of each level and of the next deeper level, finest first; an `InputError` if there is only one level."""
    if len(features) < 2:
        raise InputError(f"--features must be at least two widths, one for each level of a U-Net, got {list(features)}")
    return list(zip(features[:-1], features[1:], strict=True))


class UNetEncoder(LevelsEncoder):
    """Contracting path: two 3x3 convolutions per level, with max pooling between levels.

    Args:
        features: channels of each level, from the finest.
        in_channels: channels of the image.
        stem_stride: 1 in the paper. With 2 or 4, the path starts with a strided convolution, so that the finest level
            works on a coarser grid, which saves most of the time; the decoder needs the same stride.
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
        self.stem: nn.Module = nn.Identity()
        if stem_stride > 1:
            self.stem = _patchwise(spatial_dims, in_channels, features[0], stem_stride, norm, transposed=False)
            in_channels = features[0]
        # the bias is kept as in the paper, although the batch normalisation makes it redundant
        first = TwoConv(spatial_dims, in_channels, features[0], _ACTIVATION, norm, True)
        downs = [Down(spatial_dims, fine, deep, _ACTIVATION, norm, True) for fine, deep in level_pairs(features)]
        self.levels = nn.ModuleList([first, *downs])


class UNetDecoder(LevelsDecoder):
    """Expanding path. Each level has a transposed convolution, a concatenation with the encoder's level, and two 3x3
    convolutions.

    Args:
        features, stem_stride, norm, spatial_dims: the same values as for the encoder.

    `forward` takes the encoder's features and returns ``(B, out_channels, H, W)`` or, for volumes,
    ``(B, out_channels, H, W, D)``, on the image's grid.
    """

    def __init__(
        self,
        features: Sequence[int] = PAPER_FEATURES,
        stem_stride: int = 1,
        norm: str | tuple = "batch",
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        # there is no padding, because it would be empty for valid sides and torch 2.13 compiles its gradient wrongly
        self.levels = nn.ModuleList(
            [
                _Up(spatial_dims, deep, fine, fine, _ACTIVATION, norm, True, is_pad=False)
                for fine, deep in reversed(level_pairs(features))
            ]
        )
        self.out_channels = features[0]
        self.unstem: nn.Module = nn.Identity()
        if stem_stride > 1:
            self.unstem = _patchwise(spatial_dims, features[0], features[0], stem_stride, norm, transposed=True)
        for module in self.modules():
            if type(module) is nn.ConvTranspose2d:
                module.__class__ = PatchUpsampling


class _Up(UpCat):
    """MONAI's level without padding, and without its test of a type, at which ``torch.compile`` would divide the network."""

    def forward(self, x: Tensor, x_e: Tensor) -> Tensor:
        return self.convs(torch.cat([x_e, self.upsample(x)], dim=1))


def _patchwise(
    spatial_dims: int, in_channels: int, out_channels: int, stride: int, norm: str | tuple, transposed: bool
) -> nn.Module:
    """A (transposed) convolution of patches, with normalisation and ReLU: the head must not get only linear features."""
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


class ResidualEncoder(LevelsEncoder):
    """Contracting path: a convolution on the image, ``stem``, and a residual block for each level, of which every one except
    the first halves the grid with its stride (Taleb 2020, appendix A).

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
        self.unstem = nn.Identity()
        self.out_channels = int(features[0])
