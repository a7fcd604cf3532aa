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
    bundle: str | Path, weights: str | Path | None = None, *, device: str | torch.device = "cpu"
) -> LoadedBundle:
    """Load a bundle's network.

    Args:
        bundle: name of one of planewise's bundles, or the folder of a bundle, such as an unpacked zip.
        weights: a run's folder or a checkpoint; None uses the weights that ship with the bundle, if any.
        device: device for the network.

    Raises:
        InputError: there is no such bundle, there are no such weights, or the weights do not fit.
    """
    keep_quiet()
    folder = Path(bundle).expanduser()
    if not (folder / "configs").is_dir():
        folder = bundles_folder() / bundle
    folder = folder.resolve()
    file = folder / "configs" / "inference.yaml"
    if not file.is_file():
        near = did_you_mean(nearest(folder.name, (path.name for path in folder.parent.glob("*"))))
        raise InputError(f"there is no bundle {bundle} in {folder.parent}{near}; name its folder")
    if own_code(folder):
        sys.path.insert(0, str(folder))
    config = ConfigParser(ConfigParser.load_config_file(str(file)))
    config.update({"bundle_root": str(folder), "device": str(device)})
    used = _weights_of(folder, weights)
    if used is not None:
        used = Path(weights_path(used))
        config["weights"] = str(used)
        follow_weights(config)
        check_plain_settings(config.get())
    network = config.get_parsed_content("network_def")
    if used is not None:
        network.load_state_dict(read_weights(weights_path(used, network)))
    return LoadedBundle(folder, network.to(device).eval(), config, used)


def bundles_folder() -> Path:
    """The absolute path of the folder with planewise's bundles; in a clone, it is a link."""
    return (Path(planewise.__file__).parent / "bundles").resolve()


def _weights_of(bundle: Path, given: str | Path | None) -> Path | None:
    """The absolute path of the weights for a bundle; None if no weights are given and the bundle has none."""
    if given is None:
        own = bundle / "models" / "model.pt"
        return own if own.is_file() else None
    given = Path(given).expanduser().resolve()
    if not given.exists():
        raise InputError(f"there are no weights in {given}; name a run's folder or a checkpoint")
    return given


def bundle_and_weights(name: str, given: str | Path | None) -> tuple[Path, Path]:
    """The folder of a bundle and its weights, which fit its network.

    Args:
        name: the bundle's name.
        given: a run's folder or a checkpoint for planewise's own bundle; or the folder of a copy of the bundle, whose network
            may differ; None uses the weights that ship.

    Raises:
        InputError: there are no weights, they do not fit, or the folder holds another bundle.
    """
    folder = bundles_folder() / name
    copy = None if given is None else Path(given).expanduser().resolve()
    if copy is not None and (copy / "configs" / "inference.yaml").is_file():
        if copy.name != name:
            raise InputError(f"{copy} is not a bundle {name}; name a folder of this name, or a run of that bundle")
        folder, given = copy, None
    weights = _weights_of(folder, given)
    if weights is None:
        raise InputError(f"{folder} has no models/model.pt; name a run of {name} with --weights")
    if copy is not None:
        load_bundle(folder, weights)
    return folder, weights
