"""A vision transformer as an encoder, a decoder to the image's grid, as in UNETR, and the masked autoencoder (He 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from einops.layers.torch import Rearrange
from monai.networks.blocks import PatchEmbeddingBlock, TransformerBlock
from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from planewise.errors import InputError
from planewise.networks.named_parts import NamedParts

#: MONAI's names of the parts of a block.
_BLOCK = ("norm1", "attn.qkv", "attn.out_proj", "norm2", "mlp.linear1", "mlp.linear2")
#: Public layouts of a vision transformer: the names of class token, positions, patch embedding, blocks and last
#: normalisation, and of the parts of a block, in the order of `_BLOCK`.
_LAYOUTS = (
    # timm, and the authors of the masked autoencoder
    (
        ("cls_token", "pos_embed", "patch_embed.proj.", "blocks.{}.", "norm."),
        ("norm1.", "attn.qkv.", "attn.proj.", "norm2.", "mlp.fc1.", "mlp.fc2."),
    ),
    # torchvision, whose files of ImageNet weights have older names of the last two parts
    *(
        (
            ("class_token", "encoder.pos_embedding", "conv_proj.", "encoder.layers.encoder_layer_{}.", "encoder.ln."),
            ("ln_1.", "self_attention.in_proj_", "self_attention.out_proj.", "ln_2.", *mlp),
        )
        for mlp in (("mlp.linear_1.", "mlp.linear_2."), ("mlp.0.", "mlp.3."))
    ),
)


class ViTEncoder(nn.Module):
    """The vision transformer (Dosovitskiy 2021; by default ViT-B/16), built from MONAI's blocks.

    The state dict has the names of MONAI's `MaskedAutoEncoderViT`; the last block is the final normalisation. Files of timm
    and of the authors of the masked autoencoder (He 2022) load through `from_public` (`load_imagenet`).

    Args:
        image_size: side of the image for which positions are embedded, pixels; other sizes are resampled.
        patch_size: side of a patch, pixels; a power of two.
        hidden_size: width of a patch's token.
        mlp_dim: width of the hidden layer of a block.
        num_layers: number of blocks.
        num_heads: number of attention heads.

    `forward` takes ``(B, 1, H, W)``, with sides that are multiples of ``patch_size``. It returns the image itself, followed
    by maps ``(B, hidden_size, H / patch_size, W / patch_size)`` at ``log2(patch_size)`` evenly spaced depths; for ViT-B/16,
    after 3, 6, 9 and 12 blocks, as in UNETR (Hatamizadeh 2022). The last map is normalised; no map has the class token.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        hidden_size: int = 768,
        mlp_dim: int = 3072,
        num_layers: int = 12,
        num_heads: int = 12,
    ) -> None:
        super().__init__()
        levels = int(patch_size).bit_length() - 1
        if patch_size < 2 or patch_size != 2**levels or image_size % patch_size:
            raise InputError(
                f"--patch_size must be a power of two that divides {image_size=}, got {patch_size}; set 16"
            )
        if num_layers < levels or hidden_size % num_heads:
            raise InputError(
                f"--num_layers must be {levels} or more, --hidden_size of {num_heads} parts, got {num_layers}, {hidden_size}"
            )
        self.patch_size = patch_size
        self.side = image_size // patch_size
        self.out_channels = hidden_size
        self.last_features = "deepest"
        #: indices of the blocks whose outputs are returned; the last index is that of the normalisation after all blocks
        self.taken = [num_layers * level // levels - 1 for level in range(1, levels)] + [num_layers]
        self.cls_token = nn.Parameter(torch.zeros(1, 1, hidden_size))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.patch_embedding = PatchEmbeddingBlock(
            1, image_size, patch_size, hidden_size, num_heads, pos_embed_type="sincos", spatial_dims=2
        )
        # MONAI keeps the position embeddings fixed, but fine-tuning trains them (He 2022)
        self.patch_embedding.position_embeddings.requires_grad_(True)
        self.blocks = transformer_blocks(hidden_size, mlp_dim, num_heads, num_layers)
        self.deepest = nn.Identity()

    def forward(self, image: Tensor) -> list[Tensor]:
        levels = self.encoded(image, self.patch_embedding.patch_embeddings(image))
        levels[-1] = self.deepest(levels[-1])
        return levels

    def encoded(self, image: Tensor, patches: Tensor) -> list[Tensor]:
        """The output of `forward` for an image and its embedded patches, ``(B, hidden_size, rows, columns)``."""
        if image.shape[2] % self.patch_size != 0 or image.shape[3] % self.patch_size != 0:
            raise ValueError("the sides of images must be multiples of patch_size; change image_size")
        rows, columns = patches.shape[2], patches.shape[3]
        positions = self.patch_embedding.position_embeddings
        if rows != self.side or columns != self.side:
            positions = _resampled(positions, self.side, rows, columns)
        tokens = patches.flatten(2).transpose(1, 2) + positions
        x = torch.cat([self.cls_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        levels: list[Tensor] = [image]
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.taken:
                levels.append(x[:, 1:].transpose(1, 2).unflatten(2, [rows, columns]))
        return levels

    def public_names(self) -> list[dict[str, str]]:
        """For timm's layout and for torchvision's two, the names in a public file with ours."""
        last = len(self.blocks) - 1
        layouts = []
        for (token, positions, patches, block, norm), parts in _LAYOUTS:
            named = {patches: "patch_embedding.patch_embeddings."}
            for number in range(last):
                named |= {
                    block.format(number) + part: f"blocks.{number}.{own}."
                    for part, own in zip(parts, _BLOCK, strict=True)
                }
            named[norm] = f"blocks.{last}."
            pairs = {theirs + kind: ours + kind for theirs, ours in named.items() for kind in ("weight", "bias")}
            layouts.append({token: "cls_token", positions: "patch_embedding.position_embeddings"} | pairs)
        return layouts

    def from_public(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert the weights of a public file to this transformer's image size and to a single channel.

        Kernels are summed over their three channels, which has the same effect as repeating a slice three times. The
        position embedding of the class token is added to the token.

        Raises:
            InputError: the position embeddings do not match a square grid and one class token.
        """
        kernel, place = "patch_embedding.patch_embeddings.weight", "patch_embedding.position_embeddings"
        positions = weights[place]
        patches = positions[:, 1:]
        side = round(patches.shape[1] ** 0.5)
        if side * side != patches.shape[1]:
            raise InputError(
                f"the position embeddings must be a square grid and one class token, got {positions.shape[1]} positions"
            )
        return {
            **weights,
            kernel: weights[kernel].sum(dim=1, keepdim=True),
            "cls_token": weights["cls_token"] + positions[:, :1],
            place: patches if side == self.side else _resampled(patches, side, self.side, self.side),
        }


class ViTDecoder(nn.Module):
    """Combine the levels of `ViTEncoder` to one map on the image's grid, as in UNETR (Hatamizadeh 2022, Fig. 1).

    A residual block makes the finest level from the image, and transposed convolutions make the others from all depths but
    the last. The path goes up from the last depth: a transposed convolution, a concatenation and a residual block per level.

    Args:
        features: channels of the levels, finest first, one for each halving of the resolution from pixels to patches.
        hidden_size: width of the encoder's tokens.
        norm: MONAI's name of the normalisation.

    `forward` takes the encoder's features and returns ``(B, out_channels, H, W)``.
    """

    def __init__(self, features: Sequence[int], hidden_size: int = 768, norm: str | tuple = "batch") -> None:
        super().__init__()
        features = list(features)
        self.out_channels = features[0]
        self.pixels = UnetrBasicBlock(2, 1, features[0], kernel_size=3, stride=1, norm_name=norm, res_block=True)
        common = {"kernel_size": 3, "upsample_kernel_size": 2, "norm_name": norm, "res_block": True}
        self.skips = nn.ModuleList(
            [
                UnetrPrUpBlock(2, hidden_size, width, num_layer, stride=1, conv_block=True, **common)
                for num_layer, width in zip(range(len(features) - 2, -1, -1), features[1:], strict=True)
            ]
        )
        widths = [hidden_size, *reversed(features)]
        self.levels = nn.ModuleList(
            [UnetrUpBlock(2, deep, fine, **common) for deep, fine in zip(widths[:-1], widths[1:], strict=True)]
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        fine: list[Tensor] = [self.pixels(features[0])]
        for number, skip in enumerate(self.skips):
            fine.append(skip(features[number + 1]))
        x = features[-1]
        for depth, level in enumerate(self.levels):
            x = level(x, fine[len(fine) - 1 - depth])
        return x


def transformer_blocks(hidden_size: int, mlp_dim: int, num_heads: int, num_layers: int) -> nn.Sequential:
    """MONAI's transformer blocks, followed by a normalisation, with the settings of public weights."""
    blocks = [
        TransformerBlock(hidden_size, mlp_dim, num_heads, qkv_bias=True, use_flash_attention=True)
        for _ in range(num_layers)
    ]
    for block in blocks:
        # these parts are never used; training in several processes would wait for their gradients
        block.norm_cross_attn = nn.Identity()
        block.cross_attn.requires_grad_(False)  # in MONAI 1.5; empty in 1.6
    sequence = nn.Sequential(*blocks, nn.LayerNorm(hidden_size))
    for module in sequence.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6  # torch's default is ten times larger
    return sequence


def _resampled(positions: Tensor, side: int, rows: int, columns: int) -> Tensor:
    """Resample position embeddings of a square grid, ``(1, side * side, C)`` (Dosovitskiy 2021, section 3.2)."""
    grid = positions.transpose(1, 2).unflatten(2, [side, side])
    grid = interpolate(grid, size=[rows, columns], mode="bicubic", align_corners=False)
    return grid.flatten(2).transpose(1, 2)


class MaskedViT(NamedParts):
    """MONAI's `MaskedAutoEncoderViT` with parts named `encoder` and `decoder`, and with images as input and output.

    The encoder sees only the visible patches, and the decoder sees all positions. A patch counts as hidden if all its pixels
    are 0, as after `MaskPatchesd`, which hides the same number of patches in every image. If these numbers differ, some
    hidden patches of images with fewer visible ones are encoded, too.

    Args:
        encoder: the transformer. Here, its position embeddings are fixed sines and cosines.
        decoder: a `MaskedViTDecoder` for images and patches of the same sizes.

    `forward` takes ``(B, 1, H, W)``, with the encoder's image size, and returns ``(B, 1, H, W)``.
    """

    def __init__(self, encoder: ViTEncoder, decoder: MaskedViTDecoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.encoder.patch_embedding.position_embeddings.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
        # the patch embedding acts as a linear layer, so it is initialised like one (section A.1)
        nn.init.xavier_uniform_(self.encoder.patch_embedding.patch_embeddings.weight.data.flatten(1))

    def forward(self, image: Tensor) -> Tensor:
        encoder = self.encoder
        patches = encoder.patch_embedding.patch_embeddings(image)
        tokens = patches.flatten(2).transpose(1, 2) + encoder.patch_embedding.position_embeddings
        is_seen = max_pool2d(image.detach().abs(), encoder.patch_size).flatten(1) > 0
        count = int(is_seen.sum(dim=1).max().clamp_min(1))
        # the visible patches come first, in their order
        seen = torch.argsort(is_seen.to(torch.int8), dim=1, descending=True, stable=True)[:, :count, None]
        x = tokens.gather(1, seen.expand(-1, -1, tokens.shape[2]))
        x = encoder.blocks(torch.cat([encoder.cls_token.expand(x.shape[0], -1, -1).to(x.dtype), x], dim=1))
        return self.decoder(x, seen)


class MaskedViTDecoder(nn.Module):
    """The decoder of `MaskedAutoEncoderViT`, with the same blocks and names (He et al. 2022, section 3).

    Args:
        image_size, patch_size: sides of an image and of a patch, pixels.
        hidden_size, decoder_hidden_size: widths of a patch's token in the encoder and in the decoder.
        decoder_num_layers, decoder_num_heads: numbers of blocks and of attention heads.

    `forward` takes the encoded class token and visible patches, ``(B, 1 + N, hidden_size)``, and the indices of these
    patches, ``(B, N, 1)``. It returns ``(B, 1, image_size, image_size)``.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        hidden_size: int = 768,
        decoder_hidden_size: int = 512,
        decoder_num_layers: int = 8,
        decoder_num_heads: int = 16,
    ) -> None:
        super().__init__()
        side = image_size // patch_size
        self.patches = side**2
        self.decoder_embed = nn.Linear(hidden_size, decoder_hidden_size)
        self.mask_tokens = nn.Parameter(torch.zeros(1, 1, decoder_hidden_size))
        nn.init.trunc_normal_(self.mask_tokens, std=0.02)
        self.decoder_pos_embedding = build_sincos_position_embedding([side, side], decoder_hidden_size, 2)
        self.decoder_blocks = transformer_blocks(
            decoder_hidden_size, 4 * decoder_hidden_size, decoder_num_heads, decoder_num_layers
        )
        self.decoder_pred = nn.Linear(decoder_hidden_size, patch_size**2)
        self.to_image = Rearrange("b (h w) (i j) -> b 1 (h i) (w j)", h=side, i=patch_size)

    def forward(self, encoded: Tensor, seen: Tensor) -> Tensor:
        x = self.decoder_embed(encoded)
        everywhere = self.mask_tokens.to(x.dtype).expand(x.shape[0], self.patches, -1)
        placed = everywhere.scatter(1, seen.expand(-1, -1, x.shape[2]), x[:, 1:]) + self.decoder_pos_embedding
        x = self.decoder_blocks(torch.cat([x[:, :1].to(placed.dtype), placed], dim=1))
        return self.to_image(self.decoder_pred(x[:, 1:]))
