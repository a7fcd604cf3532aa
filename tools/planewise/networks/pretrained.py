"""Load the weights of one bundle into the network of another, by name."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from planewise.errors import InputError

logger = logging.getLogger(__name__)

#: Values of settings that mean "no weights". They include text, because `--pretrained null` arrives as text.
NO_WEIGHTS = (None, "", "null", "none", "None", False)
#: Types of weights that a network can have.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


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
        raise InputError(
            f"there are no weights at {path.absolute()}; train first, or name a checkpoint or a run's folder"
        )
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
                "settings of its training, such as features (see its run's bundle/), and the same config of a network"
            )


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the state dict in a file to the CPU. It is the whole file, or the ``model``, ``network`` or ``state_dict`` of a
    checkpoint.

    Weights in half precision, which saves disk space, are converted to float32.

    Args:
        path: see `weights_path`.

    Raises:
        InputError: there is no such file, it contains no weights, or a weight is not finite.
    """
    path = Path(weights_path(path))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types of errors for other files
        raise InputError(
            f"{path} cannot be read as weights ({type(error).__name__}): it is not a torch file, or it has objects other "
            "than tensors, which could run code; if you trust it, save only its state dict"
        ) from None
    if isinstance(content, dict) and "model_sha256" in content and content.get("network", content) is None:
        return read_weights(path.with_name("model.pt"))  # the last epoch was the best, so its weights are in model.pt
    for key in ("model", "network", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    named = content.items() if isinstance(content, dict) else ()
    weights = {name: value for name, value in named if isinstance(name, str) and isinstance(value, torch.Tensor)}
    if not weights:
        raise InputError(f"{path} contains no weights (a state dict, or one under 'model'); name another file")
    if wrong := not_finite(weights):
        raise InputError(
            f"{path} cannot be used: {wrong[0]} has values that are not finite (NaN or infinity), because its training "
            "diverged or the file is damaged; name another checkpoint"
        )
    return {name: value.float() if value.dtype == torch.float16 else value for name, value in weights.items()}


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


def load_imagenet(network: nn.Module, path: str | Path | None) -> nn.Module:
    """Copy ImageNet weights into ``network.encoder``, by their names in the public file, and return ``network``.

    Args:
        network: a network with an encoder that uses torchvision's names (`AlexNetEncoder`, `ResNetEncoder`) or translates
            public names (`ViTEncoder`); see `_public_weights`.
        path: torchvision's file, such as ``alexnet-owt-7be5be79.pth``; None (or the text null or none) loads nothing.

    Raises:
        InputError: see `load_pretrained` and `_public_weights`.
    """
    if path in NO_WEIGHTS:
        return network
    own = network.state_dict()
    # weights that have a name of the whole network are left out: they come from a pretext's file, not from a public one
    weights = {name: value for name, value in read_weights(path).items() if name not in own}
    _copy_fitting(network.encoder, _public_weights(network.encoder, weights, path), path)
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
    encoder = getattr(network, "encoder", None)
    if encoder is not None and not weights.keys() & network.state_dict().keys() and _prefixes(encoder, weights):
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
            f"nothing in {path} fits the network: the file has {_by_part(list(weights))}, {type(network).__name__} has "
            f"{_by_part(list(own))}. Weights are copied by name and shape, so both trainings need the same network (for one "
            "of ImageNet's, the same config, such as configs/vgg16.yaml)"
        )
    network.load_state_dict(fitting, strict=False)
    logger.info(
        "loaded %d of %d tensors from the pretrained weights: %s", len(fitting), len(own), _by_part(list(fitting))
    )
    random = [name for name, value in own.items() if name not in fitting and value.is_floating_point()]
    for text, names in (("left at random", random), ("ignored", unknown)):
        if names:
            logger.info("%s: %s", text, _by_part(names))


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


def _public_names(encoder: nn.Module) -> list[str]:
    """The names of an encoder's weights in a public file: its ``public_names()``, or else its own names."""
    if hasattr(encoder, "public_names"):
        return encoder.public_names()
    # old files lack the counters of batches, which are not needed
    return [name for name in encoder.state_dict() if not name.endswith("num_batches_tracked")]


def _prefixes(encoder: nn.Module, weights: Mapping[str, torch.Tensor]) -> list[str]:
    """The prefixes under which a file has all weights of an encoder, such as ``module.encoder_q.``; only the empty one if
    the file also has the names without a prefix."""
    wanted = _public_names(encoder)
    ends = (name.removesuffix(wanted[0]) for name in weights if name.endswith(wanted[0]))
    found = [end for end in ends if (not end or end.endswith(".")) and all(end + name in weights for name in wanted)]
    return [""] if "" in found else found


def _public_weights(encoder: nn.Module, weights: Mapping[str, torch.Tensor], path: object) -> dict[str, torch.Tensor]:
    """Select the weights for an encoder from a public file, and rename them to the encoder's names.

    Args:
        encoder: an encoder that uses torchvision's names, or that has ``public_names()`` and ``from_public(weights)``.
        weights: content of the file; all names may have a prefix.
        path: source of the file, for messages.

    Raises:
        InputError: the file lacks a weight, or contains several such networks, or a network with more layers.
    """
    wanted, prefixes = _public_names(encoder), _prefixes(encoder, weights)
    if len(prefixes) != 1:
        absent = ", ".join([name for name in wanted if name not in weights][:3])
        raise InputError(
            f"{path} must contain exactly one network with the ImageNet weights of {type(encoder).__name__}, but has "
            f"{len(prefixes)} (without a prefix, it lacks {absent}); load a pretext's weights with --pretrained"
        )
    found = {name.removeprefix(prefixes[0]): value for name, value in weights.items() if name.startswith(prefixes[0])}
    parts = {name.split(".")[0] for name in wanted}
    more = [name for name in found.keys() - {*wanted} if name.split(".")[0] in parts]
    if more := sorted(name for name in more if not name.endswith("num_batches_tracked")):
        raise InputError(
            f"{path} belongs to another network: in addition to this encoder's weights, it contains {', '.join(more[:3])}; "
            "set as many layers (blocks, num_layers) as that network has"
        )
    return encoder.from_public(found) if hasattr(encoder, "from_public") else found
