"""The encoder of CineMA (Fu 2025, arXiv:2506.00679), a masked autoencoder that learned from cines of the heart."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm

from planewise.networks.vit import ViTEncoder, _resampled

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
        self.blocks = nn.Sequential(_Block(width), _Block(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(gelu(self.norm(self.conv(x))))


class _Block(nn.Module):
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
