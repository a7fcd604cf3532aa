"""Test weights for nnU-Net against its U-Net written out, and in nnU-Net itself where it is installed."""

from __future__ import annotations

import json

import pytest
import torch
from planewise.errors import InputError
from planewise.networks import SliceNet, UNetDecoder, UNetEncoder
from planewise.networks.nnunet import OWN_PLANS, PLANS, WEIGHTS, export_weights, nnunet_network
from torch.nn import functional

WIDTHS = [4, 8, 16]


def network(dims=2, **settings):
    torch.manual_seed(0)
    encoder = UNetEncoder(WIDTHS, spatial_dims=dims, **settings)
    made = SliceNet(encoder, UNetDecoder(WIDTHS, spatial_dims=dims), num_maps=4)
    for name, value in made.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if "running_var" in name else torch.randn_like(value) / 4)
    return made.eval()


def decoded(state, image, dims):
    """The features before the segmentation layer, by nnU-Net's names and its order of skip and upsampled features."""
    convolve, transposed = (
        (functional.conv2d, functional.conv_transpose2d)
        if dims == 2
        else (functional.conv3d, functional.conv_transpose3d)
    )
    pool = functional.max_pool2d if dims == 2 else functional.max_pool3d

    def block(x, name):
        for place in (f"{name}.convs.0", f"{name}.convs.1"):
            x = convolve(x, state[f"{place}.conv.weight"], state[f"{place}.conv.bias"], padding=1)
            of = {key: state[f"{place}.norm.{key}"] for key in ("running_mean", "running_var", "weight", "bias")}
            x = functional.batch_norm(x, **of).relu()
        return x

    skips = []
    for level in range(len(WIDTHS)):
        image = block(pool(image, 2) if level else image, f"encoder.stages.{level}.0")
        skips.append(image)
    for level, skip in enumerate(reversed(skips[:-1])):
        weight, bias = (state[f"decoder.transpconvs.{level}.{part}"] for part in ("weight", "bias"))
        image = block(torch.cat([transposed(image, weight, bias, stride=2), skip], dim=1), f"decoder.stages.{level}")
    return image


@pytest.mark.parametrize("dims", [2, 3])
def test_the_features_are_those_of_the_bundle(dims):
    ours, image = network(dims), torch.randn(2, 1, *[16] * dims)
    with torch.no_grad():
        state, _ = nnunet_network(ours.state_dict())
        wanted = ours.decoder(ours.encoder(image))
        torch.testing.assert_close(decoded(state, image, dims), wanted, rtol=1e-4, atol=1e-5)


def test_more_channels_repeat_the_first_layer():
    ours, image = network(), torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        one, three = (decoded(nnunet_network(ours.state_dict(), n)[0], image.expand(-1, n, -1, -1), 2) for n in (1, 3))
    torch.testing.assert_close(three, one, rtol=1e-4, atol=1e-5)


def plans(folder, patch=(100, 96)):
    configuration = {
        "patch_size": list(patch),
        "architecture": {"arch_kwargs": {}},
        "data_identifier": "nnUNetPlans_2d",
    }
    folder.mkdir()
    (folder / PLANS).write_text(json.dumps({"plans_name": "nnUNetPlans", "configurations": {"2d": configuration}}))
    (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "MR"}}))
    return folder


@pytest.mark.parametrize("parts", [("encoder",), ("encoder", "decoder", "head")])
def test_files_for_nnunet(parts, tmp_path):
    weights = {name: value for name, value in network().state_dict().items() if name.startswith(parts)}
    torch.save(weights, tmp_path / "model.pt")
    folder = plans(tmp_path / "Dataset001_Heart")
    done = export_weights(tmp_path / "model.pt", folder)
    assert (done.configuration, done.decoder) == ("2d", "decoder" in parts)
    written = json.loads((folder / OWN_PLANS).read_text())
    own = written["configurations"]["2d"]
    assert own["patch_size"] == [100, 96] and own["data_identifier"] == "nnUNetPlans_2d"
    assert (
        written["plans_name"] == "planewisePlans" and own["architecture"]["arch_kwargs"]["features_per_stage"] == WIDTHS
    )
    state = torch.load(folder / WEIGHTS, weights_only=True)["network_weights"]
    # 2 convolutions a level with 7 tensors each, under 2 names, and the encoder once more inside the decoder
    assert len(state) == 2 * (3 * 2 * 7 * 2) + 2 * (2 * 7 * 2 + 2)
    assert all(value.isfinite().all() for value in state.values())


def test_a_patch_that_cannot_be_halved_grows(tmp_path):
    torch.save(network().state_dict(), tmp_path / "model.pt")
    folder = plans(tmp_path / "Dataset001_Heart", (98, 97))
    export_weights(tmp_path / "model.pt", folder)
    assert json.loads((folder / OWN_PLANS).read_text())["configurations"]["2d"]["patch_size"] == [100, 100]


@pytest.mark.parametrize("other", [{"stem_stride": 2}, {"norm": "instance"}])
def test_a_network_that_nnunet_lacks_is_refused(other):
    with pytest.raises(InputError):
        nnunet_network(network(**other).state_dict())


def test_what_is_missing_is_refused(tmp_path):
    torch.save(network(3).state_dict(), tmp_path / "model.pt")
    with pytest.raises(InputError):
        export_weights(tmp_path / "model.pt", tmp_path)
    folder = plans(tmp_path / "Dataset001_Heart")
    with pytest.raises(InputError):  # plans of images only
        export_weights(tmp_path / "model.pt", folder)
    (folder / "dataset.json").write_text(json.dumps({"modality": {"0": "MR"}}))  # nnU-Net 1
    with pytest.raises(InputError):
        export_weights(tmp_path / "model.pt", folder)


def test_nnunets_own_loader_takes_them():
    unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    state, kwargs = nnunet_network(network().state_dict())
    classes = {key: eval(value) for key, value in kwargs.items() if key in ("conv_op", "norm_op", "nonlin")}
    theirs = unet.PlainConvUNet(1, num_classes=4, deep_supervision=True, **kwargs | classes)
    lacking, unknown = theirs.load_state_dict(state, strict=False)
    assert not unknown and all("seg_layers" in name for name in lacking)
