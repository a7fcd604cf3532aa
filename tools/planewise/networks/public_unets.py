"""U-Nets whose weights others publish: MONAI's `UNet` as an encoder and a decoder, and nnU-Net's residual encoder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers import Pool
from monai.networks.layers.factories import split_args
from monai.networks.nets import UNet
from torch import Tensor, nn

from planewise.errors import InputError
from planewise.networks.unet import LevelsEncoder, level_pairs

#: Widths of the network of MONAI's bundle ventricular_short_axis_3label (Kerfoot 2019).
KERFOOT_FEATURES = (16, 32, 64, 128, 256)
#: Widths and numbers of blocks of nnU-Net's ResEnc-L (Wald 2024, arXiv:2410.23132).
RESENC_L_FEATURES, RESENC_L_BLOCKS = (32, 64, 128, 256, 320, 320), (1, 3, 4, 6, 6, 6)
_INSTANCE = ("instance", {"affine": True})


class MonaiUNetEncoder(LevelsEncoder):
    """Contracting path of MONAI's `UNet` (Kerfoot 2019). Bundles of MONAI's Model Zoo load by `public_names`.

    Args:
        features: channels of each level, from the finest.
        strides: how far each level but the last reduces the grid.
        num_res_units: convolutions of each residual level; 0 for levels of a single convolution.
        in_channels: channels of the image.
        norm: MONAI's name of the normalisation.
        spatial_dims: 2 for images, 3 for volumes.

    `forward` takes ``(B, in_channels, H, W)``, or ``(B, in_channels, H, W, D)`` for volumes, and returns the features of
    every level, finest first, after its stride; the last two levels have the same grid.
    """

    def __init__(
        self,
        features: Sequence[int] = KERFOOT_FEATURES,
        strides: Sequence[int] = (2, 2, 2, 2),
        num_res_units: int = 2,
        in_channels: int = 1,
        norm: str | tuple = "instance",
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        self.out_channels = int(features[-1])
        self.last_features = f"levels.{len(features) - 1}"
        #: Smallest side of an image, pixels. Instance normalisation needs more than one pixel at the deepest level.
        self.smallest_side = prod(strides) + (split_args(norm)[0] == "instance")
        self.stem = nn.Identity()
        self.levels = _levels(features, strides, num_res_units, norm, spatial_dims, in_channels=in_channels)[0]

    def public_names(self) -> list[dict[str, str]]:
        """The names in MONAI's `UNet`, whose levels are nested, with ours."""
        deepest, names = len(self.levels) - 1, {}
        for own in self.state_dict():
            _, level, rest = own.split(".", 2)
            names[_nested(int(level)) + ("" if int(level) == deepest else "0.") + rest] = own
        return [names]


class MonaiUNetDecoder(nn.Module):
    """Expanding path of MONAI's `UNet`, up to its output: its last level has one channel for each of its classes.

    Args:
        features, strides, num_res_units, norm, spatial_dims: the same values as for the encoder.
        out_channels: channels of the output, one for each class of the published network.

    `forward` takes the encoder's features and returns ``(B, out_channels, H, W)`` or, for volumes,
    ``(B, out_channels, H, W, D)``, on the image's grid.
    """

    def __init__(
        self,
        features: Sequence[int] = KERFOOT_FEATURES,
        strides: Sequence[int] = (2, 2, 2, 2),
        num_res_units: int = 2,
        norm: str | tuple = "instance",
        spatial_dims: int = 2,
        out_channels: int = 4,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        #: The sides of an image must be multiples of this number of pixels, so that the output has the image's size.
        self.side_multiple = prod(strides)
        self.levels = _levels(features, strides, num_res_units, norm, spatial_dims, out_channels=out_channels)[1]

    def forward(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for depth, level in enumerate(self.levels):
            fine = features[len(features) - 2 - depth]
            if x.shape[2:] != fine.shape[2:]:
                raise ValueError("MONAI's U-Net needs sides that are multiples of its strides; change image_size")
            x = level(torch.cat([fine, x], dim=1))
        return x

    def public_names(self) -> list[dict[str, str]]:
        """The names in MONAI's `UNet`, whose levels are nested, with ours, which begin with the deepest."""
        names = {}
        for own in self.state_dict():
            _, depth, rest = own.split(".", 2)
            names[f"{_nested(len(self.levels) - 1 - int(depth))}2.{rest}"] = own
        return [names]


def _nested(level: int) -> str:
    return "model." + "1.submodule." * level


def _levels(
    features: Sequence[int],
    strides: Sequence[int],
    num_res_units: int,
    norm: str | tuple,
    spatial_dims: int,
    in_channels: int = 1,
    out_channels: int = 1,
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """The levels of MONAI's `UNet` on the way down, finest first, and on the way up, deepest first."""
    if len(strides) != len(level_pairs(features)):
        raise InputError(
            f"--strides must be one number fewer than --features, got {list(strides)} and {list(features)}"
        )
    whole = UNet(spatial_dims, in_channels, out_channels, features, strides, num_res_units=num_res_units, norm=norm)
    down, up, level = [], [], whole.model
    for _ in strides:
        down.append(level[0])
        up.append(level[2])
        level = level[1].submodule
    return nn.ModuleList([*down, level]), nn.ModuleList(reversed(up))


class NnunetEncoder(LevelsEncoder):
    """The residual encoder of nnU-Net (ResEnc; Isensee 2024, arXiv:2404.09556), by default ResEnc-L, of which nnssl publishes
    weights. Its checkpoints load by `public_names`.

    Args:
        features, blocks: channels and numbers of residual blocks of each level, from the finest.
        in_channels: channels of the image.
        norm: MONAI's name of the normalisation.
        spatial_dims: 2 for images, 3 for volumes.

    `forward` takes ``(B, in_channels, H, W, D)`` or, for images, ``(B, in_channels, H, W)``, with sides that are multiples
    of ``2^(levels - 1)``, and returns the features of every level, finest first.
    """

    def __init__(
        self,
        features: Sequence[int] = RESENC_L_FEATURES,
        blocks: Sequence[int] = RESENC_L_BLOCKS,
        in_channels: int = 1,
        norm: str | tuple = _INSTANCE,
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        if len(blocks) != len(features):
            raise InputError(f"--blocks must be one number for each of --features, got {list(blocks)}")
        self.out_channels = int(features[-1])
        self.last_features = f"levels.{len(features) - 1}"
        self.side_multiple = 2 ** (len(features) - 1)
        #: Smallest side of an image, voxels. Instance normalisation needs more than one voxel at the deepest level.
        self.smallest_side = self.side_multiple + 1
        self.stem = Convolution(spatial_dims, in_channels, features[0], adn_ordering="NA", act="leakyrelu", norm=norm)
        pairs = [(features[0], features[0]), *level_pairs(features)]
        self.levels = nn.ModuleList()
        for level, ((into, width), count) in enumerate(zip(pairs, blocks, strict=True)):
            first = _Block(spatial_dims, into, width, 2 if level else 1, norm)
            more = [_Block(spatial_dims, width, width, 1, norm) for _ in range(count - 1)]
            self.levels.append(nn.Sequential(first, *more))

    def public_names(self) -> list[dict[str, str]]:
        """The names of nnU-Net, which has each layer under two, with ours."""
        names = {}
        for own in self.state_dict():
            place = re.sub(r"levels\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2.", own.replace("stem.", "stem.convs.0."))
            place = place.replace(".skip.", ".skip.1.")
            names[place.replace(".adn.N.", ".norm.")] = own
            names[place.replace(".conv.", ".all_modules.0.").replace(".adn.N.", ".all_modules.1.")] = own
        return [names]


class _Block(nn.Module):
    """Two convolutions, and a shortcut that averages where the grid is halved (He 2019, arXiv:1812.01187, ResNet-D)."""

    def __init__(self, spatial_dims: int, into: int, width: int, stride: int, norm: str | tuple) -> None:
        super().__init__()
        common: dict[str, Any] = {"act": "leakyrelu", "norm": norm}
        self.conv1 = Convolution(spatial_dims, into, width, strides=stride, adn_ordering="NA", **common)
        self.conv2 = Convolution(spatial_dims, width, width, adn_ordering="N", **common)
        self.pool = Pool["avg", spatial_dims](stride, stride) if stride > 1 else nn.Identity()
        self.skip: nn.Module = nn.Identity()
        if into != width:
            self.skip = Convolution(spatial_dims, into, width, kernel_size=1, bias=False, adn_ordering="N", **common)
        self.act = nn.LeakyReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv2(self.conv1(x)) + self.skip(self.pool(x)))
