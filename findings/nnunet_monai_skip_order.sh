#!/usr/bin/env bash
# The decoders of MONAI's BasicUNet and of nnU-Net's PlainConvUNet join their two inputs in opposite order, with equal shapes.
# Guess: both are "the" U-Net with two convolutions a level, so weights that fit layer by layer give the same features.
# Seen (MONAI 1.6.1, dynamic-network-architectures 0.4.4): MONAI's UpCat joins (skip, upsampled), nnU-Net's UNetDecoder (upsampled,
#   skip). With all 32 tensors of a two-level decoder copied, no shape differs and no loader complains, but the output correlates with the
#   right one by 0.31. With the two halves of the input channels of each level's first convolution exchanged, the outputs are equal.
# Why it matters: a converter between the two that goes by layer and shape reports that every weight was loaded, and starts from a damaged
#   decoder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 monai==1.6.1 \
    dynamic-network-architectures==0.4.4
cd "$work"
venv/bin/python -W ignore - <<'PYTHON'
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from monai.networks.nets.basic_unet import UpCat
from torch import nn

torch.manual_seed(0)
WIDTHS = (16, 32, 64)
ACTIVATION = ("relu", {"inplace": True})
#: A part of MONAI's level, and the part of nnU-Net's decoder of level N.
PARTS = {
    "upsample.deconv": "transpconvs.{}",
    "convs.conv_0.conv": "stages.{}.convs.0.conv",
    "convs.conv_0.adn.N": "stages.{}.convs.0.norm",
    "convs.conv_1.conv": "stages.{}.convs.1.conv",
    "convs.conv_1.adn.N": "stages.{}.convs.1.norm",
}
monai = [UpCat(2, 64, 32, 32, ACTIVATION, "batch", True), UpCat(2, 32, 16, 16, ACTIVATION, "batch", True)]
network = PlainConvUNet(
    1, 3, WIDTHS, nn.Conv2d, 3, [1, 2, 2], 2, 4, 2, conv_bias=True, norm_op=nn.BatchNorm2d, norm_op_kwargs={},
    nonlin=nn.ReLU, nonlin_kwargs={"inplace": True}, deep_supervision=False,
)
decoder = network.decoder
decoder.seg_layers[-1] = nn.Identity()
for level in (*monai, network):
    level.eval()
features = [torch.randn(2, width, 32 // 2**level, 32 // 2**level) for level, width in enumerate(WIDTHS)]


def copy(exchanged):
    """Copy all weights of MONAI's levels; returns how many tensors fitted."""
    fitted = 0
    for level, source in enumerate(monai):
        for ours, theirs in PARTS.items():
            state = dict(source.get_submodule(ours).state_dict())
            if exchanged and ours == "convs.conv_0.conv":
                skip, upsampled = state["weight"].chunk(2, dim=1)
                state["weight"] = torch.cat([upsampled, skip], dim=1)
            target = decoder.get_submodule(theirs.format(level))
            fitted += sum(target.state_dict()[name].shape == value.shape for name, value in state.items())
            target.load_state_dict(state)
    return fitted


with torch.no_grad():
    wanted = monai[1](monai[0](features[2], features[1]), features[0])
    found = {}
    for exchanged in (False, True):
        fitted = copy(exchanged)
        output = decoder(features)
        found[exchanged] = torch.corrcoef(torch.stack([wanted.flatten(), output.flatten()]))[0, 1].item()
        gap = (wanted - output).abs().max().item()
        print(f"halves exchanged: {exchanged}; tensors that fit: {fitted} of 32; correlation {found[exchanged]:.3f}; gap {gap:.1e}")
raise SystemExit(not (fitted == 32 and found[False] < 0.9 and gap < 1e-4))
PYTHON
