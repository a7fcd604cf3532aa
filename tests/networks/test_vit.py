"""Test the vision transformer and the masked autoencoder."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange
from monai.networks.nets import MaskedAutoEncoderViT
from planewise.errors import InputError
from planewise.networks import (
    MaskedViT,
    MaskedViTDecoder,
    SliceNet,
    ViTDecoder,
    ViTEncoder,
    encoder_features,
    load_imagenet,
    load_pretrained,
)
from planewise.pretexts import MaskPatchesd
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import conv2d, gelu, interpolate, layer_norm, linear

#: Small, but with four depths like ViT-B/16: 48 pixels are 3 x 3 patches.
SMALL = {"image_size": 48, "patch_size": 16, "hidden_size": 24, "mlp_dim": 40, "num_layers": 5, "num_heads": 3}
FEATURES = (4, 6, 8, 10)


def timm_shapes(hidden: int, mlp: int, layers: int, patch: int, side: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes in timm's and the masked autoencoder's files, written out."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, hidden),
        "pos_embed": (1, 1 + side * side, hidden),
        "patch_embed.proj.weight": (hidden, 3, patch, patch),
        "patch_embed.proj.bias": (hidden,),
    }
    for number in range(layers):
        for name, shape in {
            "norm1": (hidden,),
            "attn.qkv": (3 * hidden, hidden),
            "attn.proj": (hidden, hidden),
            "norm2": (hidden,),
            "mlp.fc1": (mlp, hidden),
            "mlp.fc2": (hidden, mlp),
        }.items():
            shapes[f"blocks.{number}.{name}.weight"] = shape
            shapes[f"blocks.{number}.{name}.bias"] = shape[:1]
    return shapes | {"norm.weight": (hidden,), "norm.bias": (hidden,)}


def timm_weights(side: int = 3, layers: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    shapes = timm_shapes(24, 40, layers, 16, side)
    weights = {name: torch.randn(shape) * 0.2 for name, shape in shapes.items()}
    for name in weights:
        if "norm" in name and name.endswith("weight"):
            weights[name] += 1
    return weights


def transformer_written_out(image: torch.Tensor, weights: dict[str, torch.Tensor], layers: int) -> list[torch.Tensor]:
    """The tokens after every block and after the last normalisation, as Dosovitskiy 2021, Eqs. 1 to 4, says: three heads."""

    def pair(name):
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    def norm(x, name):
        return layer_norm(x, x.shape[-1:], *pair(name), eps=1e-6)

    patches = conv2d(image.repeat(1, 3, 1, 1), *pair("patch_embed.proj"), stride=16)
    x = torch.stack([patches[:, :, row, column] for row in range(3) for column in range(3)], dim=1)
    x = torch.cat([weights["cls_token"].repeat(len(image), 1, 1), x], dim=1) + weights["pos_embed"]
    found = []
    for number in range(layers):
        block = f"blocks.{number}"
        query, key, value = linear(norm(x, f"{block}.norm1"), *pair(f"{block}.attn.qkv")).split(24, dim=2)
        heads = []
        for head in range(3):
            own = slice(8 * head, 8 * head + 8)
            weight = (query[..., own] @ key[..., own].transpose(1, 2) / 8**0.5).softmax(dim=-1)
            heads.append(weight @ value[..., own])
        x = x + linear(torch.cat(heads, dim=2), *pair(f"{block}.attn.proj"))
        hidden = gelu(linear(norm(x, f"{block}.norm2"), *pair(f"{block}.mlp.fc1")))
        x = x + linear(hidden, *pair(f"{block}.mlp.fc2"))
        found.append(x)
    return [*found, norm(x, "norm")]


@pytest.mark.parametrize("prefix", ["", "module.backbone."])
@pytest.mark.parametrize("load", [load_imagenet, load_pretrained])
def test_a_public_file_gives_the_transformer_that_it_is_of(load, prefix, tmp_path):
    weights = timm_weights()
    content = {f"{prefix}{name}": value for name, value in weights.items()} | {"head.weight": torch.zeros(10, 24)}
    torch.save({"model": content}, tmp_path / "mae_pretrain_vit_base.pth")
    net = load(
        SliceNet(ViTEncoder(**SMALL), ViTDecoder(FEATURES, 24), 4), tmp_path / "mae_pretrain_vit_base.pth"
    ).eval()
    image = torch.randn(2, 1, 48, 48)
    levels, expected = net.encoder(image), transformer_written_out(image, weights, 5)
    # five blocks for four depths: after blocks 1, 2 and 3, and at the end
    assert torch.equal(levels[0], image) and len(levels) == 5
    for level, tokens in zip(levels[1:], (expected[0], expected[1], expected[2], expected[5]), strict=True):
        assert level.shape == (2, 24, 3, 3)
        for row in range(3):
            for column in range(3):
                assert torch.allclose(level[:, :, row, column], tokens[:, 1 + 3 * row + column], atol=1e-5)


#: What torchvision writes for timm's names; its present releases, and its published files.
TORCHVISION = {
    "cls_token": "class_token",
    "pos_embed": "encoder.pos_embedding",
    "patch_embed.proj": "conv_proj",
    "blocks.": "encoder.layers.encoder_layer_",
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attn.qkv.": "self_attention.in_proj_",
    "attn.proj": "self_attention.out_proj",
    "norm": "encoder.ln",
}
MLP = [{"mlp.fc1": "mlp.0", "mlp.fc2": "mlp.3"}, {"mlp.fc1": "mlp.linear_1", "mlp.fc2": "mlp.linear_2"}]


@pytest.mark.parametrize("mlp", MLP)
def test_torchvisions_names_give_the_same_transformer(mlp, tmp_path):
    weights, other = timm_weights(), {}
    for name, value in weights.items():
        for timms, torchvisions in (TORCHVISION | mlp).items():
            name = name.replace(timms, torchvisions)
        other[name] = value
    save_file(weights, tmp_path / "timm.safetensors")
    torch.save(other | {"heads.head.weight": torch.zeros(10, 24)}, tmp_path / "vit_b_16.pth")
    one, two = (
        load_pretrained(SliceNet(ViTEncoder(**SMALL)), tmp_path / file).encoder.state_dict()
        for file in ("timm.safetensors", "vit_b_16.pth")
    )
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize("more", ["blocks.5.norm1.weight", "blocks.0.ls1.gamma"])
def test_a_deeper_transformer_or_one_with_other_blocks_is_refused(more, tmp_path):
    torch.save(timm_weights() | {more: torch.ones(24)}, tmp_path / "dinov2.pth")
    with pytest.raises(InputError):
        load_pretrained(SliceNet(ViTEncoder(**SMALL)), tmp_path / "dinov2.pth")


def test_positions_of_another_image_size_are_resampled(tmp_path):
    """A smooth field stays smooth: positions that rise from left to right do so on the finer grid, too."""
    weights = timm_weights(side=6)
    columns = torch.arange(6.0).repeat(6)[:, None].expand(-1, 24)
    weights["pos_embed"] = torch.cat([torch.ones(1, 24), columns])[None]
    torch.save(weights, tmp_path / "vit.pth")
    net = load_imagenet(SliceNet(ViTEncoder(**SMALL), ViTDecoder(FEATURES, 24), 4), tmp_path / "vit.pth")
    found = net.encoder.patch_embedding.position_embeddings[0].unflatten(0, [3, 3])
    # six columns 0 to 5 become cells with the centres 0.5, 2.5 and 4.5; at the border, the values are not exact
    assert torch.allclose(found[:, 1], torch.full((3, 24), 2.5), atol=1e-5)
    assert torch.allclose(found[:, 0] + found[:, 2], torch.full((3, 24), 5.0), atol=1e-4)
    assert torch.equal(found[0], found[2]) and float(found[0, 0, 0].detach()) == pytest.approx(0.5, abs=0.15)
    assert torch.equal(net.encoder.cls_token, weights["cls_token"] + 1)
    weights["pos_embed"] = torch.zeros(1, 12, 24)
    torch.save(weights, tmp_path / "distilled.pth")
    with pytest.raises(InputError):
        load_imagenet(net, tmp_path / "distilled.pth")


def test_an_image_of_another_size_gets_resampled_positions():
    torch.manual_seed(0)
    encoder = ViTEncoder(**SMALL).eval()
    image = torch.randn(1, 1, 64, 32)
    other = ViTEncoder(**SMALL | {"image_size": 64}).eval()
    other.load_state_dict(encoder.state_dict() | {
        "patch_embedding.position_embeddings": interpolate(
            encoder.patch_embedding.position_embeddings.reshape(1, 3, 3, 24).permute(0, 3, 1, 2), (4, 4), mode="bicubic"
        ).flatten(2).transpose(1, 2)
    })  # fmt: skip
    square = torch.cat([image, image], dim=3)
    for one, two in zip(encoder(square), other(square), strict=True):
        assert torch.allclose(one, two, atol=1e-5)
    assert [tuple(level.shape[2:]) for level in encoder(image)] == [(64, 32)] + [(4, 2)] * 4
    with pytest.raises(ValueError):
        encoder(torch.randn(1, 1, 50, 48))


@pytest.mark.parametrize(("patch_size", "features"), [(4, (4, 6))])
def test_the_way_back_to_the_images_grid_and_torchscript(patch_size, features):
    encoder = ViTEncoder(**SMALL | {"patch_size": patch_size})
    net = SliceNet(encoder, ViTDecoder(features, 24), 3).eval()
    image = torch.rand(2, 1, 48, 48)
    output = net(image)
    assert output.shape == (2, 3, 48, 48)
    scripted = torch.jit.script(net)
    assert torch.allclose(scripted(image), output, atol=1e-6)
    assert scripted(torch.rand(1, 1, 32, 16)).shape == (1, 3, 32, 16)
    # each of its weights learns
    net.train()(image).square().mean().backward()
    idle = [name for name, value in net.named_parameters() if value.requires_grad and value.grad is None]
    assert idle == [], "several processes would wait for its gradient"


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
