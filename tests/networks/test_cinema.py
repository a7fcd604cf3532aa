"""Test that CineMA's weights give the encoder that they are of, written out from cinema/convvit.py, conv.py and vit.py."""

from __future__ import annotations

from math import prod

import pytest
import torch
from planewise.errors import InputError
from planewise.networks import CinemaEncoder, SliceNet, ViTDecoder, load_pretrained
from safetensors.torch import save_file
from torch.nn.functional import conv3d, gelu, interpolate, layer_norm, linear

#: As in cinema/mae/config.yaml, but with a narrower and shallower transformer.
WIDTH, LAYERS, HEADS = 24, 4, 3
GRIDS = {"sax": (12, 12, 16), "lax_2c": (16, 16), "lax_4c": (16, 16)}


def cinema_weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {"encoder.cls_token": (1, 1, WIDTH)}

    def layer(name: str, *shape: int) -> None:
        shapes.update({f"{name}.weight": shape, f"{name}.bias": shape[:1]})

    for view, grid in GRIDS.items():
        through = (1,) * (len(grid) - 2)  # the short axis is a volume; its patches have a depth of one slice
        down, fusion, into = f"enc_down_dict.{view}", f"enc_fusion_dict.{view}", 1
        for level, (width, stride, patch) in enumerate(((64, 4, 4), (128, 2, 2))):
            place = f"{down}.conv_blocks.{level}"
            layer(f"{place}.patch_embed.conv", width, into, stride, stride, *through)
            layer(f"{place}.patch_embed.norm", width)
            for block in range(2):
                for norm in ("norm1", "norm2"):
                    layer(f"{place}.conv.{block}.{norm}", width)
                for name, out, of, side in (
                    ("conv1", width, width, 1), ("conv2", width, width, 1), ("dw_conv", width, 1, 5),
                    ("mlp.fc1", 4 * width, width, 1), ("mlp.fc2", width, 4 * width, 1),
                ):  # fmt: skip
                    layer(f"{place}.conv.{block}.{name}", out, of, *[side] * len(grid))
            layer(f"{fusion}.down_convs.{level}", WIDTH, width, patch, patch, *through)
            into = width
        layer(f"{fusion}.norm", WIDTH)
        layer(f"{down}.patch_embed.proj", WIDTH, 2 * 2 * 128)
        layer(f"{down}.linear", WIDTH, WIDTH)
        shapes[f"{down}.pos_embed"] = (1, prod(grid), WIDTH)
    for block in range(LAYERS):
        for name, shape in {
            "norm1": (WIDTH,), "attn.q": (WIDTH, WIDTH), "attn.kv": (2 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH),
            "norm2": (WIDTH,), "mlp.fc1": (4 * WIDTH, WIDTH), "mlp.fc2": (WIDTH, 4 * WIDTH),
        }.items():  # fmt: skip
            layer(f"encoder.blocks.{block}.{name}", *shape)
    layer("encoder.norm", WIDTH)
    layer("dec_linear", 8, WIDTH)
    layer("decoder.blocks.0.norm1", 8)
    return {name: torch.randn(shape) / 4 + ("norm" in name and "weight" in name) for name, shape in shapes.items()}


def written_out(image: torch.Tensor, weights: dict[str, torch.Tensor], view: str) -> torch.Tensor:
    """The encoder's output for volumes ``(B, 1, H, W, 1)``, with kernels over slices of the short axis."""

    def pair(name):
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return (weight.unsqueeze(-1) if weight.ndim == 4 else weight), bias

    def norm(x, name, eps):  # of (..., C)
        return layer_norm(x, x.shape[-1:], *pair(name), eps=eps)

    def pixelwise(x, name):
        return norm(x.movedim(1, -1), name, 1e-6).movedim(-1, 1)

    def conv(x, name, **options):
        return conv3d(x, *pair(name), **options)

    down, x, skips = f"enc_down_dict.{view}", image, []
    for level, stride in enumerate((4, 2)):
        place = f"{down}.conv_blocks.{level}"
        x = gelu(
            pixelwise(conv(x, f"{place}.patch_embed.conv", stride=(stride, stride, 1)), f"{place}.patch_embed.norm")
        )
        for block in range(2):
            name = f"{place}.conv.{block}"
            y = conv(pixelwise(x, f"{name}.norm1"), f"{name}.conv1")
            y = conv(y, f"{name}.dw_conv", padding="same", groups=x.shape[1])
            x = x + conv(y, f"{name}.conv2")
            y = gelu(conv(pixelwise(x, f"{name}.norm2"), f"{name}.mlp.fc1"))
            x = x + conv(y, f"{name}.mlp.fc2")
        skips.append(x)
    batch, channels, rows, columns, _ = x.shape
    patches = x.reshape(batch, channels, rows // 2, 2, columns // 2, 2)
    patches = torch.einsum("nchpwq->nhwpqc", patches).reshape(batch, rows * columns // 4, 4 * channels)
    grid = weights[f"{down}.pos_embed"].reshape(1, *GRIDS[view], WIDTH).movedim(-1, 1)
    if view == "sax":
        grid = interpolate(grid, (12, 12, 1), mode="trilinear")[..., 0]
    if grid.shape[2:] != (rows // 2, columns // 2):
        grid = interpolate(grid, (rows // 2, columns // 2), mode="bicubic")
    x = linear(linear(patches, *pair(f"{down}.patch_embed.proj")), *pair(f"{down}.linear")) + grid.flatten(2).mT
    x = torch.cat([weights["encoder.cls_token"].expand(batch, -1, -1), x], dim=1)
    for number in range(LAYERS):
        block = f"encoder.blocks.{number}"
        y = norm(x, f"{block}.norm1", 1e-5)
        key, value = linear(y, *pair(f"{block}.attn.kv")).unflatten(2, (2, HEADS, -1)).permute(2, 0, 3, 1, 4)
        query = linear(y, *pair(f"{block}.attn.q")).unflatten(2, (HEADS, -1)).transpose(1, 2)
        y = ((query @ key.mT / 8**0.5).softmax(-1) @ value).transpose(1, 2).flatten(2)
        x = x + linear(y, *pair(f"{block}.attn.proj"))
        y = gelu(linear(norm(x, f"{block}.norm2", 1e-5), *pair(f"{block}.mlp.fc1")))
        x = x + linear(y, *pair(f"{block}.mlp.fc2"))
    x = norm(x, "encoder.norm", 1e-5)[:, 1:]
    for level, patch in enumerate((4, 2)):
        fused = conv(skips[level], f"enc_fusion_dict.{view}.down_convs.{level}", stride=(patch, patch, 1))
        x = x + fused.flatten(2).mT
    x = norm(x, f"enc_fusion_dict.{view}.norm", 1e-5)
    return x.mT.unflatten(2, (rows // 2, columns // 2))


def network(view: str, size: int, layers: int = LAYERS) -> SliceNet:
    encoder = CinemaEncoder(size, view, WIDTH, layers, HEADS)
    return SliceNet(encoder, ViTDecoder((4, 6, 8, 10), WIDTH), 3).eval()


@pytest.mark.parametrize(("view", "size"), [("sax", 192), ("lax_4c", 256), ("lax_4c", 224)])
def test_a_file_of_cinema_gives_its_encoder(view, size, tmp_path, caplog):
    weights = cinema_weights()
    save_file(weights, tmp_path / "cinema.safetensors")
    with caplog.at_level("INFO"):
        net = load_pretrained(network(view, size), tmp_path / "cinema.safetensors")
    image = torch.randn(2, 1, size, size)
    with torch.no_grad():
        expected = written_out(image[..., None], weights, view)
        assert torch.allclose(net.encoder(image)[-1], expected, atol=1e-4)
        assert torch.allclose(torch.jit.script(net)(image), net(image), atol=1e-4)
    encoder = len(net.encoder.state_dict())
    assert f"loaded {encoder} of" in caplog.text and "left at random: decoder" in caplog.text
    assert "enc_down_dict" in caplog.text.partition("ignored: ")[2], "those of the other views"


@pytest.mark.parametrize(("view", "layers"), [("lax_3c", LAYERS), ("sax", LAYERS + 1)])
def test_what_a_file_of_cinema_lacks_is_refused(view, layers, tmp_path):
    save_file(cinema_weights(), tmp_path / "cinema.safetensors")
    with pytest.raises(InputError):
        load_pretrained(network(view, 64, layers), tmp_path / "cinema.safetensors")


def test_a_deeper_cinema_is_refused(tmp_path):
    deeper = {name.replace(".blocks.3.", ".blocks.4."): value for name, value in cinema_weights().items()}
    save_file(cinema_weights() | deeper, tmp_path / "cinema.safetensors")
    with pytest.raises(InputError):
        load_pretrained(network("sax", 64), tmp_path / "cinema.safetensors")
