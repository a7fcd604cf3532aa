"""The masked autoencoder of He et al. 2022: a vision transformer that sees some patches, and one that guesses the others."""

from __future__ import annotations

import torch
from einops.layers.torch import Rearrange
from monai.networks.blocks import TransformerBlock
from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from planewise.networks.named_parts import NamedParts
from planewise.networks.vit import ViTEncoder


class MaskedViT(NamedParts):
    """MONAI's `MaskedAutoEncoderViT` behind a forward from an image to an image, with `encoder` and `decoder` by these names.

    The encoder is given no other patches than those that are seen, the decoder all places. Which patches are hidden the image
    itself says: those that are 0 in every pixel, as `planewise.pretexts.MaskPatchesd` leaves them. It hides as many in every
    image; where other images come together, the one with most seen patches decides how many are encoded, and of the others
    some empty patches are encoded too.

    Args:
        encoder: its weights move to other networks by name; its positions stay as they are, sines and cosines.
        decoder: `MaskedViTDecoder` for the same image and patches.

    `forward` takes ``(B, 1, H, W)`` of the encoder's image size and returns ``(B, 1, H, W)``.
    """

    def __init__(self, encoder: ViTEncoder, decoder: MaskedViTDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.encoder.patch_embedding.position_embeddings.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
        # as the linear layer that it is (section A.1)
        nn.init.xavier_uniform_(self.encoder.patch_embedding.patch_embeddings.weight.data.flatten(1))

    def forward(self, image: Tensor) -> Tensor:
        encoder = self.encoder
        patches = encoder.patch_embedding.patch_embeddings(image)
        if patches.shape[2] != encoder.side or patches.shape[3] != encoder.side:
            raise ValueError("the masked autoencoder takes images of the size that it was made for; change image_size")
        tokens = patches.flatten(2).transpose(1, 2) + encoder.patch_embedding.position_embeddings
        is_seen = max_pool2d(image.detach().abs(), encoder.patch_size).flatten(1) > 0
        count = int(is_seen.sum(dim=1).max().clamp_min(1))
        # those that are seen first, in their order
        seen = torch.argsort(is_seen.to(torch.int8), dim=1, descending=True, stable=True)[:, :count, None]
        x = tokens.gather(1, seen.expand(-1, -1, tokens.shape[2]))
        x = encoder.blocks(torch.cat([encoder.cls_token.expand(x.shape[0], -1, -1).to(x.dtype), x], dim=1))
        return self.decoder(x, seen)


class MaskedViTDecoder(nn.Module):
    """The decoder of `MaskedAutoEncoderViT`, built of the same blocks and by the same names (He et al. 2022, section 3).

    Args:
        image_size, patch_size: sides, pixels.
        hidden_size: numbers of a patch, as the encoder gives them.
        decoder_hidden_size: numbers of a patch, here.
        decoder_num_layers, decoder_num_heads: blocks, and heads of their attention; the blocks' hidden layer is four times as
            wide as they are.

    `forward` takes the class token and the seen patches, encoded, ``(B, 1 + N, hidden_size)``, and the numbers of their
    places ``(B, N, 1)``. It returns ``(B, 1, image_size, image_size)``.
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
        blocks = [
            TransformerBlock(
                decoder_hidden_size, 4 * decoder_hidden_size, decoder_num_heads, qkv_bias=True, use_flash_attention=True
            )
            for _ in range(decoder_num_layers)
        ]
        for block in blocks:
            # never run, and several processes would wait for its gradient
            block.norm_cross_attn = nn.Identity()
        self.decoder_blocks = nn.Sequential(*blocks, nn.LayerNorm(decoder_hidden_size))
        self.decoder_pred = nn.Linear(decoder_hidden_size, patch_size**2)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-6  # the authors'; torch's is ten times that
        self.to_image = Rearrange("b (h w) (i j) -> b 1 (h i) (w j)", h=side, i=patch_size)

    def forward(self, encoded: Tensor, seen: Tensor) -> Tensor:
        x = self.decoder_embed(encoded)
        everywhere = self.mask_tokens.to(x.dtype).expand(x.shape[0], self.patches, -1)
        placed = everywhere.scatter(1, seen.expand(-1, -1, x.shape[2]), x[:, 1:]) + self.decoder_pos_embedding
        x = self.decoder_blocks(torch.cat([x[:, :1].to(placed.dtype), placed], dim=1))
        return self.to_image(self.decoder_pred(x[:, 1:]))
