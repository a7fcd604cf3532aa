"""Test that weights of MONAI's Model Zoo and of nnssl give the networks that they are of."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNet
from planewise.errors import InputError
from planewise.networks import (
    MonaiUNetDecoder,
    MonaiUNetEncoder,
    NnunetEncoder,
    ResidualDecoder,
    SliceNet,
    load_pretrained,
)
from torch.nn.functional import avg_pool3d, conv3d, instance_norm, leaky_relu

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


def test_resenc_l_has_the_names_of_the_published_file():
    """448 tensors of the encoder in nnFoundation's file, which counts each of 224 twice."""
    encoder = NnunetEncoder()
    assert len(encoder.public_names()[0]) == 448 and len(encoder.state_dict()) == 224
