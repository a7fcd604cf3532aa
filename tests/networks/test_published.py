"""Test networks whose weights others publish."""

from __future__ import annotations

from math import prod

import pytest
import torch
from monai.networks.nets import UNet
from planewise.errors import InputError
from planewise.networks import (
    CinemaEncoder,
    MonaiUNetDecoder,
    MonaiUNetEncoder,
    NnunetEncoder,
    ResidualDecoder,
    SliceNet,
    ViTDecoder,
    load_pretrained,
)
from safetensors.torch import save_file
from torch.nn.functional import avg_pool3d, conv3d, gelu, instance_norm, interpolate, layer_norm, leaky_relu, linear

#: Arguments of the zoo's bundles: ventricular_short_axis_3label 0.3.0, and spleen_ct_segmentation's with fewer channels.
ZOO = [
    {"spatial_dims": 2, "out_channels": 4, "channels": [16, 32, 64, 128, 256], "num_res_units": 2},
    {"spatial_dims": 3, "out_channels": 2, "channels": [4, 8, 16, 32], "num_res_units": 2, "norm": "batch"},
    {"spatial_dims": 2, "out_channels": 2, "channels": [4, 8, 16], "num_res_units": 0},
]
for each in ZOO:
    each["strides"] = [2] * (len(each["channels"]) - 1)


def zoo_network(settings: dict, **changed) -> SliceNet:
    """Ours with the settings of MONAI's network."""
    shared = {
        "features": settings["channels"], "strides": settings["strides"], "num_res_units": settings["num_res_units"],
        "norm": settings.get("norm", "instance"), "spatial_dims": settings["spatial_dims"],
    } | changed  # fmt: skip
    decoder = MonaiUNetDecoder(**shared, out_channels=settings["out_channels"])
    return SliceNet(MonaiUNetEncoder(**shared), decoder, 4, spatial_dims=settings["spatial_dims"]).eval()


@pytest.fixture
def bundle(tmp_path):
    """The folder of a bundle with random weights of a network."""
    (tmp_path / "models").mkdir()

    def write(network: torch.nn.Module):
        torch.save(network.state_dict(), tmp_path / "models/model.pt")
        return tmp_path

    torch.manual_seed(0)
    return write


def test_volumes_of_more_channels_and_files_without_counters(bundle):
    theirs = UNet(in_channels=1, **ZOO[1]).eval()
    folder = bundle(theirs)
    state = {name: value for name, value in theirs.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, folder / "models/model.pt")
    image = torch.randn(1, 1, 32, 32, 32)
    for channels in (1, 4):
        net = zoo_network(ZOO[1])
        net.encoder = MonaiUNetEncoder([4, 8, 16, 32], [2] * 3, 2, channels, "batch", 3)
        load_pretrained(net.eval(), folder)
        found = net.decoder(net.encoder(torch.cat([image, *[0 * image] * (channels - 1)], dim=1)))
        assert torch.allclose(found, theirs(image), atol=1e-5)


@pytest.mark.parametrize("settings", ZOO)
def test_a_zoo_bundle_gives_monais_network(settings, bundle, caplog):
    theirs = UNet(in_channels=1, **settings).eval()
    with caplog.at_level("INFO"):
        net = load_pretrained(zoo_network(settings), bundle(theirs))
    image = torch.randn(2, 1, *[32] * settings["spatial_dims"])
    with torch.no_grad():
        assert torch.equal(net.decoder(net.encoder(image)), theirs(image))
        assert torch.allclose(torch.jit.script(net)(image), net(image), atol=1e-5)
    assert f"loaded {len(theirs.state_dict())} of {len(net.state_dict())} tensors" in caplog.text
    assert "left at random: head 2" in caplog.text and "ignored" not in caplog.text


@pytest.mark.parametrize("changed", [{"num_res_units": 3}, {"num_res_units": 1}, {"features": [16, 32, 64, 128, 512]},
                                     {"features": [16, 32, 64, 128], "strides": [2, 2, 2]}])  # fmt: skip
def test_a_zoo_bundle_with_another_network_is_refused(changed, bundle):
    folder = bundle(UNet(in_channels=1, **ZOO[0]))
    with pytest.raises(InputError):
        load_pretrained(zoo_network(ZOO[0], **changed), folder)


FEATURES, BLOCKS = (4, 6, 8, 8), (1, 2, 3, 1)


def nnssl_checkpoint() -> dict:
    """What nnssl writes, with fewer layers: each layer under two names, and the encoder once more in the decoder."""
    torch.manual_seed(0)
    encoder: dict[str, torch.Tensor] = {}

    def layer(name: str, into: int, out: int, kernel: int = 3, bias: bool = True) -> None:
        values = {"0.weight": torch.randn(out, into, *[kernel] * 3) / 9, "1.weight": torch.rand(out) + 0.5}
        values |= {"1.bias": torch.randn(out)} | ({"0.bias": torch.randn(out)} if bias else {})
        for place, value in values.items():
            encoder[f"{name}.all_modules.{place}"] = value
            encoder[f"{name}.{place.replace('0', 'conv').replace('1', 'norm')}"] = value

    layer("stem.convs.0", 1, FEATURES[0])
    into = FEATURES[0]
    for stage, (width, count) in enumerate(zip(FEATURES, BLOCKS, strict=True)):
        for number in range(count):
            block = f"stages.{stage}.blocks.{number}"
            layer(f"{block}.conv1", into, width)
            layer(f"{block}.conv2", width, width)
            if into != width:
                layer(f"{block}.skip.1", into, width, kernel=1, bias=False)
            into = width
    weights = {f"{place}encoder.{name}": value for place in ("", "decoder.") for name, value in encoder.items()}
    plan = {
        "architecture_plans": {"arch_class_name": "ResEncL", "arch_kwargs": None},
        "key_to_encoder": "encoder.stages",
    }
    return {
        "network_weights": weights | {"decoder.seg_layers.0.weight": torch.zeros(1, 4, 1, 1, 1)},
        "nnssl_adaptation_plan": plan | {"pretrain_num_input_channels": 1},
    }


def resenc_written_out(image: torch.Tensor, weights: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    def step(x, name, stride=1):
        name = f"encoder.{name}"
        kernel = weights[f"{name}.conv.weight"]
        x = conv3d(x, kernel, weights.get(f"{name}.conv.bias"), stride, padding=kernel.shape[-1] // 2)
        return instance_norm(x, weight=weights[f"{name}.norm.weight"], bias=weights[f"{name}.norm.bias"])

    x, levels = leaky_relu(step(image, "stem.convs.0")), []
    for stage, count in enumerate(BLOCKS):
        for number in range(count):
            name, stride = f"stages.{stage}.blocks.{number}", 2 if stage and not number else 1
            shortcut = avg_pool3d(x, stride)
            if f"encoder.{name}.skip.1.conv.weight" in weights:
                shortcut = step(shortcut, f"{name}.skip.1")
            x = leaky_relu(step(leaky_relu(step(x, f"{name}.conv1", stride)), f"{name}.conv2") + shortcut)
        levels.append(x)
    return levels


def nnunet(features=FEATURES, blocks=BLOCKS, channels=1) -> SliceNet:
    norm = ("instance", {"affine": True})
    encoder = NnunetEncoder(features, blocks, channels, norm)
    return SliceNet(encoder, ResidualDecoder(features, norm), 3, spatial_dims=3).eval()


def test_a_checkpoint_of_nnssl_gives_its_encoder(tmp_path, caplog):
    checkpoint = nnssl_checkpoint()
    torch.save(checkpoint, tmp_path / "checkpoint_final.pth")
    with caplog.at_level("INFO"):
        net = load_pretrained(nnunet(), tmp_path / "checkpoint_final.pth", ["encoder"])
    image = torch.randn(2, 1, 16, 24, 16)
    for level, expected in zip(
        net.encoder(image), resenc_written_out(image, checkpoint["network_weights"]), strict=True
    ):
        assert torch.allclose(level, expected, atol=1e-4), level.shape
    assert net(image).shape == (2, 3, 16, 24, 16)
    assert torch.allclose(torch.jit.script(net)(image), net(image), atol=1e-5)
    encoder = len(net.encoder.state_dict())
    assert f"loaded {encoder} of" in caplog.text and f"encoder {encoder}" in caplog.text
    more = load_pretrained(nnunet(channels=4), tmp_path / "checkpoint_final.pth", ["encoder"])
    assert torch.equal(more.encoder.stem.conv.weight, net.encoder.stem.conv.weight.expand(-1, 4, -1, -1, -1))


@pytest.mark.parametrize("other", [{"blocks": (1, 2, 2, 1)}, {"features": (4, 6, 8, 10)}, {"blocks": (1, 2, 4, 1)}])
def test_a_checkpoint_of_nnssl_with_another_network_is_refused(other, tmp_path):
    torch.save(nnssl_checkpoint(), tmp_path / "checkpoint_final.pth")
    with pytest.raises(InputError):
        load_pretrained(nnunet(**other), tmp_path / "checkpoint_final.pth")


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
