"""The masked autoencoder of He et al. 2022: a vision transformer that sees some patches, and another transformer that
predicts the other patches.
"""

from __future__ import annotations

import torch
from einops.layers.torch import Rearrange
from monai.networks.blocks.pos_embed_utils import build_sincos_position_embedding
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from planewise.networks.named_parts import NamedParts
from planewise.networks.vit import ViTEncoder, transformer_blocks


class MaskedViT(NamedParts):
    """MONAI's `MaskedAutoEncoderViT` with parts named `encoder` and `decoder`, and with images as input and output.

    The encoder sees only the visible patches, and the decoder sees all positions. A patch counts as hidden if all its pixels
    are 0, as after `MaskPatchesd`, which hides the same number of patches in every image. If these numbers
    differ within a batch, the image with the most visible patches determines how many patches are encoded, so some hidden
    patches of the other images are encoded, too.

    Args:
        encoder: the transformer whose weights move to other networks by name. Here, its position embeddings are fixed
            sines and cosines.
        decoder: a `MaskedViTDecoder` for images and patches of the same sizes.

    `forward` takes ``(B, 1, H, W)``, with the encoder's image size, and returns ``(B, 1, H, W)``.
    """

    def __init__(self, encoder: ViTEncoder, decoder: MaskedViTDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.encoder.patch_embedding.position_embeddings.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
        # the patch embedding acts as a linear layer, so it is initialised like one (section A.1)
        nn.init.xavier_uniform_(self.encoder.patch_embedding.patch_embeddings.weight.data.flatten(1))

    def forward(self, image: Tensor) -> Tensor:
        encoder = self.encoder
        patches = encoder.patch_embedding.patch_embeddings(image)
        if patches.shape[2] != encoder.side or patches.shape[3] != encoder.side:
            raise ValueError(
                "the masked autoencoder accepts only images of the size for which it was built; change image_size"
            )
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
        hidden_size: width of a patch's token in the encoder.
        decoder_hidden_size: width of a patch's token in the decoder.
        decoder_num_layers, decoder_num_heads: numbers of blocks and of attention heads. The hidden layer of a block is
            four times as wide as the block.

    `forward` takes the encoded class token and visible patches, ``(B, 1 + N, hidden_size)``, and the positions of these
    patches as indices, ``(B, N, 1)``. It returns ``(B, 1, image_size, image_size)``.
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
