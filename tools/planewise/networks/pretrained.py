"""Load the weights of one bundle into the network of another, by name."""

from __future__ import annotations

import io
import logging
import pickle
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from planewise.errors import InputError
from planewise.networks.public_weights import is_public, kind_of_file, public_weights

logger = logging.getLogger(__name__)

#: Values of settings that mean "no weights". They include text, because `--pretrained null` arrives as text.
NO_WEIGHTS = (None, "", "null", "none", "None", False)
#: Types of weights that a network can have.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
#: Largest accepted ratio of the contents of a file to its size. torch stores tensors uncompressed. If a file was compressed
#: later, it exceeds this ratio only if it contains mostly zeros.
_LARGEST_RATIO = 10

#: What to do if weights have no name in common with the network.
_SAME_NETWORK = (
    ", so both trainings need the same network: pretrain this one (for a network of your own, name its file after the "
    "pretext's configs/train.yaml in --config_file, too), fine-tune the pretext's, or leave the weights out"
)
#: What to do if the weights have other names, as those of a user's own network.
_OWN = (
    "; for a network of your own, name its file again after configs/inference.yaml in --config_file, or write it into "
    "configs/train.yaml and configs/inference.yaml of a copy of the bundle's folder, and name the copy"
)


def weights_path(path: str | Path, network: nn.Module | None = None) -> str:
    """The file of the weights: ``path`` itself, or ``models/model.pt`` in the folder of a bundle or a run.

    Args:
        path: a checkpoint, or the folder of a bundle or a run.
        network: the network that the weights must fit; None skips this check.

    Raises:
        InputError: there is no such file, or its weights belong to another network.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        path = path / "models" / "model.pt"
    if not path.is_file():
        root = (
            "" if path.is_absolute() else "; in another folder than the bundle's, pass the bundle's path as bundle_root"
        )
        raise InputError(
            f"there are no weights at {path.absolute()}; train first, or name a checkpoint or a bundle's folder{root}"
        )
    if path.suffix == ".zip":
        raise InputError(f"{path} is a packaged bundle; unzip it and name its folder")
    if network is not None:
        _check_fit(path, read_weights(path), network)
    return str(path)


def _check_fit(path: Path, weights: dict[str, torch.Tensor], network: nn.Module) -> None:
    own = network.state_dict()
    for name in [*own, *weights]:
        shapes = [tuple(state[name].shape) if name in state else "absent" for state in (weights, own)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"{path} belongs to another network: {name} is {shapes[0]} there and {shapes[1]} here; use the "
                f"settings of its training, such as features (see its run's bundle/){_OWN if 'absent' in shapes else ''}"
            )


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the state dict in a file to the CPU. It is the whole file, or the ``model``, ``network`` or ``state_dict`` of a
    checkpoint.

    Weights in half precision, which saves disk space, are converted to float32.

    Args:
        path: see `weights_path`; also the zip of a packaged bundle.

    Raises:
        InputError: there is no such file, it contains no weights, or a weight is not finite.
    """
    path = Path(path).expanduser()
    packaged = path.suffix == ".zip" and path.is_file()
    try:
        content = _load(_in_zip(path) if packaged else Path(weights_path(path)), str(path))
    except InputError:
        raise
    except pickle.UnpicklingError:
        raise InputError(
            f"{path} cannot be read as weights (UnpicklingError): it is not a torch file, or it contains objects other than"
            " tensors, which could run code; if you trust it, save only its state dict"
        ) from None
    except Exception as error:  # torch raises many types of errors for other files
        raise InputError(f"{path} cannot be read as weights ({type(error).__name__})") from error
    if isinstance(content, dict) and "model_sha256" in content and content.get("network", content) is None:
        return read_weights(path.with_name("model.pt"))  # the last epoch was the best, so its weights are in model.pt
    for key in ("model", "network", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    named = content.items() if isinstance(content, dict) else ()
    if not any(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in named):
        raise InputError(f"{path} contains no weights (a state dict, or one under 'model'); name another file")
    # a tensor may be larger than its stored values, because strides can repeat them
    _refuse_inflated(
        sum(value.numel() * value.element_size() for value in content.values() if isinstance(value, torch.Tensor)),
        (path if packaged else Path(weights_path(path))).stat().st_size,
        path,
    )
    if wrong := not_finite(content):
        raise InputError(
            f"{path} cannot be used: {wrong[0]} has values that are not finite (NaN or infinity), because its training "
            "diverged or the file is damaged; name another checkpoint"
        )
    return {
        name: value.float() if value.dtype == torch.float16 else value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }


def not_finite(weights: Mapping[str, Any]) -> list[str]:
    """The names of the weights with values that are not finite; entries that are not weights do not count."""
    values = {
        name: value
        for name, value in weights.items()
        if isinstance(value, torch.Tensor)
        and value.dtype in _FLOATS
        and value.layout == torch.strided
        and not value.is_meta
    }
    # a sum is finite only if all its terms are finite; summing takes a tenth of the time of checking each value, and the host
    # waits for the GPU only once
    sums = [value.sum(dtype=torch.promote_types(value.dtype, torch.float32)) for value in values.values()]
    if not sums or torch.stack([each.float() for each in sums]).isfinite().all():
        return []
    return [name for name, value in values.items() if not value.isfinite().all()]


def _load(file: Path | io.BytesIO, name: str) -> Any:
    """Load a file's tensors to the CPU with ``torch.load``; refuse a file that would unpack to many times its size.

    Args:
        file: the file, or its contents.
        name: name of the file in messages.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            held = sum(entry.file_size for entry in archive.infolist())
        _refuse_inflated(held, len(file.getbuffer()) if isinstance(file, io.BytesIO) else file.stat().st_size, name)
    if isinstance(file, io.BytesIO):
        file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def _refuse_inflated(held: int, size: int, name: str | Path) -> None:
    """Raise an `InputError` if a file's contents, in bytes, are many times its size."""
    if held > _LARGEST_RATIO * size:
        raise InputError(
            f"{name} has {size / 2**20:.2f} MiB but would take {held / 2**20:.0f} MiB of memory; torch.save does "
            "not compress weights, so the file is damaged or was made to fill the memory; get it again from its "
            "source"
        )


def _in_zip(path: Path) -> io.BytesIO:
    """The weights of a bundle in a zip from `planewise package`."""
    with zipfile.ZipFile(path) as archive:
        _refuse_inflated(sum(entry.file_size for entry in archive.infolist()), path.stat().st_size, path)
        names = [name for name in archive.namelist() if name.endswith("/models/model.pt") and name.count("/") == 2]
        if not names:
            raise InputError(f"{path} contains no NAME/models/model.pt; name a zip that `planewise package` wrote")
        return io.BytesIO(archive.read(names[0]))


def load_imagenet(network: nn.Module, path: str | Path | None) -> nn.Module:
    """Copy ImageNet weights into ``network.encoder``, by their names in the public file, and return ``network``.

    Args:
        network: a network with an encoder that uses torchvision's names (`AlexNetEncoder`, `ResNetEncoder`) or translates
            public names (`ViTEncoder`); see `public_weights`.
        path: torchvision's file, such as ``alexnet-owt-7be5be79.pth``; None (or the text null or none) loads nothing.

    Raises:
        InputError: see `load_pretrained` and `public_weights`.
    """
    if path in NO_WEIGHTS:
        return network
    own = network.state_dict()
    # weights that have a name of the whole network are left out: they come from a pretext's file, not from a public one
    weights = {name: value for name, value in read_weights(path).items() if name not in own}
    _copy_fitting(network.encoder, public_weights(network.encoder, weights, path), path)
    return network


def load_pretrained(
    network: nn.Module,
    path: str | Path | None,
    parts: Sequence[str] | None = None,
    sources: Sequence[int] | None = None,
) -> nn.Module:
    """Copy the weights with matching names and shapes into ``network``, log the result, and return the network.

    Heads differ from task to task, so they keep their initial values if their shapes differ. Parts that the file lacks
    stay random. A public file that fits the encoder is loaded as in `load_imagenet`. If the image has more channels than
    in pretraining, the weights of the encoder's first layer are copied to the additional channels
    (`copied_to_channels`).

    Args:
        network: the network, which is changed in place.
        path: see `read_weights`; None (or the text null or none) loads nothing.
        parts: the parts to load, such as ``["encoder"]`` if a segmentation trains its own decoder and head. None loads
            all parts.
        sources: for each channel of the image, the number of the pretrained channel whose weights it takes
            (`planewise.engines.channel_sources`). None copies channels by their position.

    Raises:
        InputError: no weight fits, or weights outside the head have other shapes.
    """
    if path in NO_WEIGHTS:
        return network
    weights = read_weights(path)
    if (
        not weights.keys() & network.state_dict().keys()
        and hasattr(network, "encoder")
        and is_public(network.encoder, weights)
    ):
        return load_imagenet(network, path)
    if parts is not None:
        left = [name for name in weights if name in network.state_dict() and name.split(".")[0] not in parts]
        if left:
            logger.info("left out, because only %s is loaded: %s", " and ".join(parts), _by_part(left))
        if weights and len(left) == len(weights):
            raise InputError(
                f"nothing of {path} is loaded, because `pretrained_parts` allows only {' and '.join(parts)}, and "
                f"{type(network).__name__} has {_by_part(left)}; name other parts, or set --pretrained_parts null for all"
            )
        weights = {name: value for name, value in weights.items() if name not in left}
    _copy_fitting(network, weights, path, sources)
    return network


def _copy_fitting(
    network: nn.Module, weights: dict[str, torch.Tensor], path: str | Path, sources: Sequence[int] | None = None
) -> None:
    """Like `load_pretrained`, with weights in memory; ``path`` is their source, for messages."""
    own = network.state_dict()
    first = next((name for name, value in own.items() if name.startswith("encoder.") and value.ndim > 3), None)
    if first in weights and sources and max(sources) < weights[first].shape[1] and len(sources) == own[first].shape[1]:
        weights = weights | {first: weights[first][:, list(sources)]}
    elif first in weights and can_be_copied(weights[first], own[first]):
        had, wanted = weights[first].shape[1], own[first].shape[1]
        weights = weights | {first: copied_to_channels(weights[first], wanted)}
        logger.info("%s: the weights for %d channels are copied to %d channels", first, had, wanted)
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    other_shape = [name for name in weights if name in own and name not in fitting]
    unknown = [name for name in weights if name not in own]
    # heads differ from task to task; a backbone with other shapes was trained with other settings
    for name in other_shape:
        if not name.startswith("head."):
            raise InputError(
                f"{path} does not fit the network: {name} is {tuple(weights[name].shape)} there and "
                f"{tuple(own[name].shape)} here; use the settings of its training, such as features"
            )
    if not any(value.is_floating_point() for value in fitting.values()):
        raise InputError(
            f"nothing in {path} fits the network: the file has {_by_part(list(weights))}, such as "
            f"{next(iter(weights), 'none')}; {type(network).__name__} has {_by_part(list(own))}, such as "
            f"{next(iter(own), 'none')}. Weights are copied by name and shape{kind_of_file(weights) or _SAME_NETWORK}"
        )
    network.load_state_dict(fitting, strict=False)
    logger.info(
        "loaded %d of %d tensors from the pretrained weights: %s", len(fitting), len(own), _by_part(list(fitting))
    )
    # counters of batches are not reported, because they are not initialised at random and old public files lack them
    random = [name for name, value in own.items() if name not in fitting and value.is_floating_point()]
    # tensors of other shapes are among those left at random
    for text, names in (("left at random", random), ("ignored", unknown)):
        if names:
            logger.info("%s: %s (%s%s)", text, _by_part(names), ", ".join(names[:4]), ", ..." if len(names) > 4 else "")


def can_be_copied(weight: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether a layer and the given weights differ in shape only by the number of input channels, and the layer has a
    multiple of the weights' channels."""
    shapes = [tuple(weight.shape), tuple(own.shape)]
    if any(len(shape) != own.ndim for shape in shapes) or shapes[0] == shapes[1]:
        return False
    (out, had, *kernel), (own_out, wanted, *own_kernel) = shapes
    return (out, kernel) == (own_out, own_kernel) and wanted > had and wanted % had == 0


def copied_to_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Copy the weights of a first layer for an image with more channels (Taleb 2020, appendix A: "duplicating").

    Adjacent channels of the image get the weights of the same channel. For example, after pretraining on T1 and FLAIR, T1
    and contrast-enhanced T1 get the weights of T1, and T2 and FLAIR get the weights of FLAIR (if the channels are in the
    order of BraTS). The paper copies without scaling, so the layer's output grows with the number of copies.

    Args:
        weight: ``(out, c, *kernel)``.
        channels: a multiple of c.

    Returns:
        ``(out, channels, *kernel)``; channel ``n`` is a copy of ``n * c // channels``.
    """
    return weight.repeat_interleave(channels // weight.shape[1], dim=1)


def _by_part(names: list[str]) -> str:
    """The numbers of tensors by the first part of their names, such as ``encoder 40, head 2``."""
    counts = Counter(name.split(".")[0] for name in names)
    return ", ".join(f"{part} {count}" for part, count in counts.items()) or "nothing"
