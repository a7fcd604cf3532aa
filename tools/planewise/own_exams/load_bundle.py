"""Find bundles and their weights, and load a bundle's network, with its settings, in this process."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from torch import nn

import planewise
from planewise.engines.check_settings import check_plain_settings
from planewise.engines.own_names import own_code
from planewise.engines.quiet import keep_quiet
from planewise.engines.run_bundle import follow_weights
from planewise.errors import InputError
from planewise.networks import weights_path
from planewise.networks.pretrained import read_weights
from planewise.words import did_you_mean, nearest


@dataclass(frozen=True)
class LoadedBundle:
    """A loaded bundle.

    Attributes:
        folder: folder of the bundle.
        network: the network in evaluation mode, with its weights.
        config: the config of inference, with the settings of the weights' training: ``config["image_size"]`` is a
            setting, ``config.get_parsed_content("preprocessing")`` an object.
        weights: file of the weights; None for a network with random weights.
    """

    folder: Path
    network: nn.Module = field(repr=False)
    config: ConfigParser = field(repr=False)
    weights: Path | None


def load_bundle(
    bundle: str | Path,
    weights: str | Path | None = None,
    *,
    bundles: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> LoadedBundle:
    """Load a bundle's network.

    Args:
        bundle: name of the bundle, or its folder in a clone or in an unpacked zip.
        weights: a run's folder or a checkpoint; None uses the weights that ship with the bundle, if any.
        bundles: folder that contains the named bundle; None uses planewise's own.
        device: device for the network.

    Raises:
        InputError: there is no such bundle, there are no such weights, or the weights do not fit.
    """
    keep_quiet()
    folder = Path(bundle).expanduser()
    if not (folder / "configs").is_dir():
        folder = bundles_folder(None if bundles is None else Path(bundles)) / bundle
    folder = folder.resolve()
    file = folder / "configs" / "inference.yaml"
    if not file.is_file():
        near = nearest(folder.name, (path.name for path in folder.parent.glob("*")))
        raise InputError(
            f"there is no bundle {bundle} in {folder.parent}{did_you_mean(near)}; name its folder, or the folder of the "
            "bundles"
        )
    if own_code(folder):
        sys.path.insert(0, str(folder))
    config = ConfigParser(ConfigParser.load_config_file(str(file)))
    config.update({"bundle_root": str(folder), "device": str(device)})
    given = weights_of(folder, None if weights is None else Path(weights))
    used = None if given is None else Path(weights_path(given))
    if used is not None:
        config["weights"] = str(used)
        follow_weights(config)
        check_plain_settings(config.get())
    network = config.get_parsed_content("network_def")
    if used is not None:
        network.load_state_dict(read_weights(weights_path(used, network)))
    return LoadedBundle(folder, network.to(device).eval(), config, used)


def bundles_folder(given: str | Path | None) -> Path:
    """The absolute path of the folder with the bundles: the given folder, or the package's own, which in a clone is a
    link."""
    return (Path(given).expanduser() if given else Path(planewise.__file__).parent / "bundles").resolve()


def weights_of(bundle: Path, given: str | Path | None) -> Path | None:
    """The absolute path of the weights for a bundle; None if no weights are given and the bundle has none."""
    if given is not None:
        given = Path(given).expanduser().resolve()
        if not given.exists():
            raise InputError(f"there are no weights in {given}; name a run's folder or a checkpoint")
        return given
    own = bundle / "models" / "model.pt"
    return own if own.is_file() else None


def needed_weights(bundle: Path, given: str | Path | None) -> Path:
    """Like `weights_of`, for a bundle that needs weights. Given weights must fit its network.

    Raises:
        InputError: there are no weights, they do not fit, or there is no such bundle.
    """
    if not bundle.is_dir():
        others = sorted(folder.parent.name for folder in bundle.parent.glob("*/configs"))
        copies = (
            f" (the folder has {', '.join(others)}; if one of them is a copy of this bundle, give it the bundle's name)"
        )
        raise InputError(
            f"there is no bundle {bundle.name} in {bundle.parent}{copies if others else ''}; use --bundles to name the "
            "folder bundles/ of a clone of planewise, or a folder with a copy of the bundle under its own name"
        )
    weights = weights_of(bundle, given)
    if weights is None:
        raise InputError(f"{bundle} has no models/model.pt; name a run of that bundle with --weights")
    if given is not None:
        load_bundle(bundle, weights)
    return weights
