"""The weights of a U-Net as nnU-Net's ``-pretrained_weights`` takes them, with plans for the same network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from planewise.errors import InputError
from planewise.files.atomic_write import atomic_write
from planewise.files.text import read_json
from planewise.networks.pretrained import read_weights
from planewise.networks.unet import UNetDecoder

#: Names of nnU-Net's own plans, and of the files that are written next to them.
PLANS, OWN_PLANS, WEIGHTS = "nnUNetPlans.json", "planewisePlans.json", "planewise_weights.pth"
#: The first weight of our encoder, and one that every decoder has.
_FIRST, _OF_DECODER = "encoder.levels.0.conv_0.conv.weight", "decoder.levels.0.upsample.deconv.weight"
#: nnU-Net has each layer under two names.
_ALIASES = {"conv": "all_modules.0", "norm": "all_modules.1"}


@dataclass(frozen=True)
class NnunetWeights:
    """The output of `export_weights`."""

    configuration: str
    """nnU-Net's configuration: ``2d``, or ``3d_fullres`` for volumes"""
    files: tuple[Path, Path]
    """the plans, and the weights"""
    decoder: bool
    """whether the decoder was trained, too; if not, its weights are random, as in a new network of nnU-Net"""


def export_weights(run: str | Path, folder: str | Path) -> NnunetWeights:
    """Write a U-Net's weights, and plans with the same network, into a folder of nnU-Net's preprocessed data.

    nnU-Net 2.8 loads weights only into a network with the same layers, so its own plans are copied with our widths,
    batch normalisation and ReLU. Spacing, batch size and preprocessing stay its own; a patch whose sides the network
    cannot halve becomes larger. Where ours pools, nnU-Net's convolution has a stride of 2 (with the same weights).
    If the data have more channels than the weights, the first layer is repeated and divided by their number.

    Args:
        run: the folder of a run or a bundle, or a checkpoint (`read_weights`).
        folder: ``nnUNet_preprocessed/DatasetNNN_NAME``, with ``nnUNetPlans.json`` and ``dataset.json``.

    Raises:
        InputError: nnU-Net has no such network, or the folder lacks these files, the configuration or channel names.
    """
    folder = Path(folder).expanduser()
    if not (folder / PLANS).is_file():
        raise InputError(
            f"{folder} has no {PLANS}; run nnUNetv2_plan_and_preprocess, and name its folder in nnUNet_preprocessed"
        )
    weights = read_weights(run)
    named = read_json(folder / "dataset.json", "nnU-Net's data set").get("channel_names")
    if not named:
        raise InputError(
            f"{folder / 'dataset.json'} has no channel_names, so it is not of nnU-Net 2; convert the data set"
        )
    state, network = nnunet_network(weights, len(named))
    configuration = "2d" if network["conv_op"].endswith("2d") else "3d_fullres"
    plans = read_json(folder / PLANS, "nnU-Net's plans")
    if configuration not in plans.get("configurations", {}):
        raise InputError(f"{folder / PLANS} has no configuration {configuration}, which these weights need")
    own = plans["configurations"][configuration]
    multiple = 2 ** (network["n_stages"] - 1)
    own["patch_size"] = [multiple * -(-side // multiple) for side in own["patch_size"]]
    own["architecture"]["arch_kwargs"] = network
    own["architecture"]["network_class_name"] = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
    plans |= {"plans_name": OWN_PLANS.removesuffix(".json"), "configurations": {configuration: own}}
    with atomic_write(folder / WEIGHTS) as part:
        torch.save({"network_weights": state}, part)
    with atomic_write(folder / OWN_PLANS) as part:
        part.write_text(json.dumps(plans, indent=4))
    return NnunetWeights(configuration, (folder / OWN_PLANS, folder / WEIGHTS), _OF_DECODER in weights)


def nnunet_network(weights: dict[str, Tensor], channels: int = 1) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Rename the weights of a `UNetEncoder`, and of a `UNetDecoder` if there are any, to those of nnU-Net's PlainConvUNet.

    MONAI's decoder joins (skip, upsampled), nnU-Net's (upsampled, skip), so the halves of each level's first convolution
    are exchanged (findings/nnunet_monai_skip_order.sh). A decoder that is missing gets nnU-Net's random weights.

    Args:
        weights: state dict of a bundle's network.
        channels: channels of the image in nnU-Net.

    Returns:
        The state dict, without segmentation layers, and the ``arch_kwargs`` of nnU-Net's plans.

    Raises:
        InputError: the network is another one, or has a strided stem, or its channels cannot be repeated.
    """
    first = weights.get(_FIRST)
    if first is None or any(name.startswith("encoder.stem") for name in weights):
        raise InputError(
            "nnU-Net has no such network: its U-Net is that of the bundles' UNetEncoder with --stem_stride 1; train with this"
        )
    dims = first.ndim - 2
    levels = len({name.split(".")[2] for name in weights if name.startswith("encoder.levels.")})
    inner = ["" if level == 0 else "convs." for level in range(levels)]
    features = [weights[f"encoder.levels.{level}.{inner[level]}conv_0.conv.weight"].shape[0] for level in range(levels)]
    if "encoder.levels.0.conv_0.adn.N.running_mean" not in weights:
        raise InputError(
            "these weights have no batch normalisation, so nnU-Net has no such network; train with --norm batch"
        )
    if channels != first.shape[1]:
        if first.shape[1] != 1:
            raise InputError(f"the weights are for {first.shape[1]} channels, nnU-Net's data have {channels}")
        weights = weights | {"encoder.levels.0.conv_0.conv.weight": first.repeat_interleave(channels, dim=1) / channels}
    if _OF_DECODER not in weights:
        weights = weights | _random_decoder(features, dims)
    state: dict[str, Tensor] = {}
    for level in range(levels):
        _add_block(state, f"encoder.stages.{level}.0", weights, f"encoder.levels.{level}.{inner[level]}")
    for level in range(levels - 1):
        for part in ("weight", "bias"):
            state[f"decoder.transpconvs.{level}.{part}"] = weights[f"decoder.levels.{level}.upsample.deconv.{part}"]
        place = f"decoder.levels.{level}.convs."
        skip, upsampled = weights[f"{place}conv_0.conv.weight"].chunk(2, dim=1)
        exchanged = weights | {f"{place}conv_0.conv.weight": torch.cat([upsampled, skip], dim=1)}
        _add_block(state, f"decoder.stages.{level}", exchanged, place)
    state |= {f"decoder.{name}": value for name, value in state.items() if name.startswith("encoder.")}
    return state, {
        "n_stages": levels,
        "features_per_stage": features,
        "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
        "kernel_sizes": [[3] * dims] * levels,
        "strides": [[1] * dims, *([[2] * dims] * (levels - 1))],
        "n_conv_per_stage": [2] * levels,
        "n_conv_per_stage_decoder": [2] * (levels - 1),
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.batchnorm.BatchNorm{dims}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.ReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def _add_block(state: dict[str, Tensor], name: str, weights: dict[str, Tensor], place: str) -> None:
    """Add two convolutions with their normalisation, each under both of its names."""
    for number in (0, 1):
        for kind, own in (("conv", f"conv_{number}.conv."), ("norm", f"conv_{number}.adn.N.")):
            for key in (key for key in weights if key.startswith(place + own)):
                for alias in (kind, _ALIASES[kind]):
                    state[f"{name}.convs.{number}.{alias}.{key.removeprefix(place + own)}"] = weights[key]


def _random_decoder(features: list[int], spatial_dims: int) -> dict[str, Tensor]:
    """A decoder as nnU-Net initialises it (He 2015, with the slope 0.01)."""
    decoder = UNetDecoder(features, spatial_dims=spatial_dims)
    for module in decoder.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
            nn.init.kaiming_normal_(module.weight, a=1e-2)
            nn.init.zeros_(module.bias)
    return {f"decoder.{name}": value for name, value in decoder.state_dict().items()}
