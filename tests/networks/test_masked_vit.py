from __future__ import annotations

import pytest
import torch
from einops import rearrange
from monai.networks.nets import MaskedAutoEncoderViT
from planewise.networks import MaskedViT, MaskedViTDecoder, ViTEncoder, encoder_features
from planewise.pretexts import MaskPatchesd
from torch import nn

SIZE = {"image_size": 32, "patch_size": 8, "hidden_size": 12}
ENCODER = {"mlp_dim": 20, "num_layers": 3, "num_heads": 2}
DECODER = {"decoder_hidden_size": 8, "decoder_num_layers": 2, "decoder_num_heads": 2}


@pytest.fixture
def network() -> MaskedViT:
    torch.manual_seed(0)
    return MaskedViT(ViTEncoder(**SIZE, **ENCODER), MaskedViTDecoder(**SIZE, **DECODER)).eval()


def masked(count: int, ratio: float = 0.75) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return MaskPatchesd(8, ratio)({"image": torch.randn(count, 1, 32, 32)})


def monais(network: MaskedViT, monkeypatch, hidden: torch.Tensor) -> MaskedAutoEncoderViT:
    """MONAI's autoencoder with the same weights, made to hide these patches ``(B, N)``."""
    theirs = MaskedAutoEncoderViT(
        1, 32, 8, 12, 20, 3, 2, decoder_hidden_size=8, decoder_mlp_dim=32, decoder_num_layers=2, decoder_num_heads=2,
        spatial_dims=2, qkv_bias=True,
    ).eval()  # fmt: skip
    for module in theirs.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6
    parts = {**network.encoder.state_dict(), **network.decoder.state_dict()}
    absent, unknown = theirs.load_state_dict(parts, strict=False)
    assert not unknown and all("cross_attn" in name for name in absent)

    def masking(tokens: torch.Tensor, masking_ratio: float | None = None):
        seen = torch.stack([torch.nonzero(~row)[:, 0] for row in hidden])
        return torch.stack([row[kept] for row, kept in zip(tokens, seen, strict=True)]), seen, hidden.int()

    monkeypatch.setattr(theirs, "_masking", masking)
    return theirs


def test_it_is_monais_masked_autoencoder(network, monkeypatch):
    """Both networks have the same weights under the same names, and hide the same patches."""
    batch = masked(3)
    hidden = batch["hidden"][:, 0, ::8, ::8].flatten(1)
    predicted, mask = monais(network, monkeypatch, hidden)(batch["image"])
    assert torch.equal(mask.bool(), hidden) and hidden.sum(dim=1).tolist() == [12] * 3
    found = rearrange(network(batch["image"]), "b 1 (h i) (w j) -> b (h w) (i j)", i=8, j=8)
    assert torch.allclose(found, predicted, atol=1e-5)


def test_the_encoder_is_given_the_seen_patches_alone(network):
    lengths = []
    network.encoder.blocks[0].register_forward_pre_hook(lambda module, given: lengths.append(given[0].shape))
    batch = masked(2)
    network(batch["image"])
    network(batch["restored"])
    assert lengths == [(2, 1 + 4, 12), (2, 1 + 16, 12)]


def test_its_encoder_is_the_one_that_other_networks_have(network):
    """Weights load by name, and the features are those of the whole image."""
    encoder = ViTEncoder(**SIZE, **ENCODER)
    encoder.load_state_dict({name.removeprefix("encoder."): value for name, value in network.state_dict().items()
                             if name.startswith("encoder.")})  # fmt: skip
    image = masked(2)["restored"]
    assert torch.equal(encoder(image)[-1], network.encoder(image)[-1])
    assert encoder_features(network, image).shape == (2, 12)
    assert not network.encoder.patch_embedding.position_embeddings.requires_grad
