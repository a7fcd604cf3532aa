"""Networks whose weights others publish: MONAI's `UNet`, nnU-Net's residual encoder, and CineMA."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers import Pool
from monai.networks.nets import UNet
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm

from planewise.errors import InputError
from planewise.networks.unet import LevelsEncoder, level_pairs
from planewise.networks.vit import ViTEncoder, _resampled

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


#: Channels and strides of the two convolutional levels before the transformer, whose patches have a side of 16 pixels.
_STEM = ((64, 4), (128, 2))
_PATCH = 16


class CinemaEncoder(ViTEncoder):
    """Two convolutional levels, and a vision transformer on their output (ConvMAE, Gao 2022), as in CineMA.

    Weights of a long-axis view are for images. Those of the short axis are for volumes of 16 slices. Here, each slice is a
    volume of one slice: of a kernel over slices, the middle counts, and of the positions, the mean of the two in the middle.

    Args:
        image_size: side of the image for which positions are embedded, pixels; a multiple of 16.
        view: whose stem and positions are loaded: ``sax``, ``lax_2c``, ``lax_3c`` or ``lax_4c``. The transformer serves all.
        hidden_size, num_layers, num_heads: see `ViTEncoder`.

    `forward` takes and returns the same as `ViTEncoder`. The last map also has the features of the convolutional levels.
    """

    def __init__(
        self,
        image_size: int = 256,
        view: str = "sax",
        hidden_size: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
    ) -> None:
        super().__init__(image_size, _PATCH, hidden_size, 4 * hidden_size, num_layers, num_heads)
        self.view = view
        for module in self.blocks.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-5
        into, reduced = 1, 1
        self.stem, self.fusion = nn.ModuleList(), nn.ModuleList()
        for width, stride in _STEM:
            self.stem.append(_Level(into, width, stride))
            into, reduced = width, reduced * stride
            self.fusion.append(nn.Conv2d(width, hidden_size, _PATCH // reduced, _PATCH // reduced))
        self.patch_embedding.patch_embeddings = nn.Conv2d(into, hidden_size, _PATCH // reduced, _PATCH // reduced)
        self.fused_norm = _Norm(hidden_size, 1e-5)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = image
        skips: list[Tensor] = []
        for level in self.stem:
            x = level(x)
            skips.append(x)
        levels = self.encoded(image, self.patch_embedding.patch_embeddings(x))
        last = levels[-1]
        for number, down in enumerate(self.fusion):
            last = last + down(skips[number])
        levels[-1] = self.deepest(self.fused_norm(last))
        return levels

    def public_names(self) -> list[dict[str, str]]:
        """The names in CineMA's file with ours; query is stored apart from key and value (`from_public` joins them)."""
        down, fusion = f"enc_down_dict.{self.view}.", f"enc_fusion_dict.{self.view}."
        last = len(self.blocks) - 1
        named = {f"{down}patch_embed.proj.": "patch_embedding.patch_embeddings.", f"{down}linear.": "linear."}
        for level in range(len(_STEM)):
            place = f"{down}conv_blocks.{level}."
            named |= {f"{place}patch_embed.{part}.": f"stem.{level}.{part}." for part in ("conv", "norm")}
            for block in range(2):
                for part in ("norm1", "conv1", "dw_conv", "conv2", "norm2", "mlp.fc1", "mlp.fc2"):
                    own = part.replace("mlp.", "")
                    named[f"{place}conv.{block}.{part}."] = f"stem.{level}.blocks.{block}.{own}."
            named[f"{fusion}down_convs.{level}."] = f"fusion.{level}."
        named[f"{fusion}norm."] = "fused_norm."
        for number in range(last):
            for part, own in _BLOCK.items():
                named[f"encoder.blocks.{number}.{part}."] = f"blocks.{number}.{own}."
        named["encoder.norm."] = f"blocks.{last}."
        pairs = {theirs + kind: own + kind for theirs, own in named.items() for kind in ("weight", "bias")}
        positions = "patch_embedding.position_embeddings"
        return [{"encoder.cls_token": "cls_token", f"{down}pos_embed": positions} | pairs]

    def from_public(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert the weights of CineMA's file: query, key and value are joined, and so are the two linear layers of the
        patch embedding; kernels and positions of volumes become those of slices, and positions those of the image size.
        """
        found = dict(weights)
        for number in range(len(self.blocks) - 1):
            for kind in ("weight", "bias"):
                own = f"blocks.{number}.attn."
                found[f"{own}qkv.{kind}"] = torch.cat([found.pop(f"{own}q.{kind}"), found.pop(f"{own}kv.{kind}")])
        kernel, bias = (f"patch_embedding.patch_embeddings.{kind}" for kind in ("weight", "bias"))
        linear, shift = found.pop("linear.weight"), found.pop("linear.bias")
        # a patch's pixels come before its channels
        side, channels = _PATCH // 8, _STEM[-1][0]
        found[kernel] = (linear @ found[kernel]).unflatten(1, [side, side, channels]).permute(0, 3, 1, 2)
        found[bias] = linear @ found[bias] + shift
        for name, value in found.items():
            if value.ndim == 5:
                found[name] = value[..., value.shape[4] // 2]
        place = "patch_embedding.position_embeddings"
        side = 12 if self.view == "sax" else 16  # grids of 12 x 12 x 16, and of 16 x 16
        positions = found[place].unflatten(1, [side * side, -1])
        middle = positions.shape[2] // 2
        positions = positions[:, :, middle - 1 : middle + 1].mean(2) if middle else positions[:, :, 0]
        found[place] = positions if side == self.side else _resampled(positions, side, self.side, self.side)
        return found


#: CineMA's names of the parts of a block, and MONAI's.
_BLOCK = {
    "norm1": "norm1",
    "attn.q": "attn.q",
    "attn.kv": "attn.kv",
    "attn.proj": "attn.out_proj",
    "norm2": "norm2",
    "mlp.fc1": "mlp.linear1",
    "mlp.fc2": "mlp.linear2",
}


class _Norm(nn.LayerNorm):
    """Normalise the channels of each pixel of ``(B, C, H, W)``."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__(width, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x.movedim(1, 3), self.normalized_shape, self.weight, self.bias, self.eps).movedim(3, 1)


class _Level(nn.Module):
    """A convolution of patches and two blocks."""

    def __init__(self, into: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(into, width, stride, stride), _Norm(width)
        self.blocks = nn.Sequential(_ConvBlock(width), _ConvBlock(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(gelu(self.norm(self.conv(x))))


class _ConvBlock(nn.Module):
    """A block of ConvMAE: like that of a transformer, with a convolution of 5 x 5 pixels in place of the attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _Norm(width), _Norm(width)
        self.conv1, self.conv2 = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.dw_conv = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.fc1, self.fc2 = nn.Conv2d(width, 4 * width, 1), nn.Conv2d(4 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.conv2(self.dw_conv(self.conv1(self.norm1(x))))
        return x + self.fc2(gelu(self.fc1(self.norm2(x))))
