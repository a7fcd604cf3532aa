"""Load the weights of one bundle, or of a public file, into the network of another, by name, and move it to its device."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from planewise.errors import InputError
from planewise.parse_bool import parse_bool

logger = logging.getLogger(__name__)

#: Values of settings that mean "no weights". They include text, because `--pretrained null` arrives as text.
NO_WEIGHTS = (None, "", "null", "none", "None", False)
#: Types of weights that a network can have.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

#: Maps the number of dimensions of a convolution's weights to the memory format in which channels come last.
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}

#: Layers that, on CUDA, convert volumes to the default format and back. With instance normalisation, a step on brain
#: tumours of 96^3 took 104 ms on an H100 with channels last, and 72 ms without.
_FIRST = (nn.InstanceNorm3d, nn.GroupNorm, nn.MaxPool3d, nn.AvgPool3d)


def _read_torch(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


#: Maps the ending of a file's name to the function that reads its content; files with other endings are PyTorch's. The
#: content is a state dict, or a checkpoint with one under one of `_INSIDE`.
READERS: Mapping[str, Callable[[Path], Any]] = {".pt": _read_torch}
_INSIDE = ("model", "network", "state_dict")


def weights_path(path: str | Path, network: nn.Module | None = None) -> str:
    """The file of the weights: ``path`` itself, or ``models/model.pt`` in the folder of a bundle or a run.

    Raises:
        InputError: there is no such file, or its weights do not fit ``network``.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        path = path / "models" / "model.pt"
    if not path.is_file():
        raise InputError(
            f"there are no weights at {path.absolute()}; train first, or name a checkpoint or a run's folder"
        )
    if network is not None:
        own, weights = network.state_dict(), read_weights(path)
        for name in [*own, *weights]:
            shapes = [tuple(state[name].shape) if name in state else "absent" for state in (weights, own)]
            if shapes[0] != shapes[1]:
                raise InputError(
                    f"{path} belongs to another network: {name} is {shapes[0]} there and {shapes[1]} here; use the "
                    "settings of its training (see its run's bundle/)"
                )
    return str(path)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the state dict in a file (`weights_path`, `READERS`) to the CPU. Weights in half precision become float32.

    Raises:
        InputError: there is no such file, it contains no weights, or a weight is not finite.
    """
    path = Path(weights_path(path))
    try:
        content = READERS.get(path.suffix, _read_torch)(path)
    except Exception as error:  # torch raises many types of errors for other files
        raise InputError(
            f"{path} cannot be read as weights ({type(error).__name__}): it is not a torch file, or has objects that could "
            "run code; if you trust it, save only its state dict"
        ) from None
    for key in _INSIDE:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    named = content.items() if isinstance(content, dict) else ()
    weights = {name: value for name, value in named if isinstance(name, str) and isinstance(value, Tensor)}
    if not weights:
        raise InputError(f"{path} contains no weights (a state dict, or one under 'model'); name another file")
    if wrong := not_finite(weights):
        raise InputError(f"{path} cannot be used: {wrong[0]} has values that are not finite; name another checkpoint")
    return {name: value.float() if value.dtype == torch.float16 else value for name, value in weights.items()}


def not_finite(weights: Mapping[str, Any]) -> list[str]:
    """The names of the weights with values that are not finite; entries that are not weights do not count."""
    values = {
        name: value
        for name, value in weights.items()
        if isinstance(value, Tensor) and value.dtype in _FLOATS and value.layout == torch.strided and not value.is_meta
    }
    # a sum is finite only if all its terms are finite; summing takes a tenth of the time of checking each value, and the host
    # waits for the GPU only once
    sums = [value.sum(dtype=torch.promote_types(value.dtype, torch.float32)) for value in values.values()]
    if not sums or torch.stack([each.float() for each in sums]).isfinite().all():
        return []
    return [name for name, value in values.items() if not value.isfinite().all()]


def load_imagenet(network: nn.Module, path: str | Path | None) -> nn.Module:
    """Copy ImageNet weights into ``network.encoder``, which uses torchvision's names (`AlexNetEncoder`, `ResNetEncoder`) or
    translates public names (`ViTEncoder`), and return ``network``. Without a path, nothing is loaded.

    Raises:
        InputError: see `load_pretrained`; or the file lacks a weight, or contains several such networks, or a network with
            more layers.
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
    stay random. A public file that fits the encoder is loaded as in `load_imagenet`. The encoder's first layer is adapted to
    images with more channels (`for_channels`).

    Args:
        network: the network, which is changed in place.
        path: see `read_weights`; None (or the text null or none) loads nothing.
        parts: the parts to load, such as ``["encoder"]``; None loads all parts.
        sources: see `for_channels`.

    Raises:
        InputError: no weight fits, or weights outside the head have other shapes.
    """
    if path in NO_WEIGHTS:
        return network
    weights, encoder = read_weights(path), getattr(network, "encoder", None)
    own = network.state_dict()
    if encoder is not None and not weights.keys() & own.keys() and _prefixes(encoder, weights):
        return load_imagenet(network, path)
    if parts is not None:
        left = [name for name in weights if name in own and name.split(".")[0] not in parts]
        if left:
            logger.info("left out, because only %s is loaded: %s", " and ".join(parts), _by_part(left))
        if len(left) == len(weights):
            raise InputError(
                f"nothing of {path} is loaded: it has {_by_part(left)}; name other --pretrained_parts, or null for all"
            )
        weights = {name: value for name, value in weights.items() if name not in left}
    _copy_fitting(network, weights, path, sources)
    return network


def _copy_fitting(
    network: nn.Module, weights: dict[str, Tensor], path: str | Path, sources: Sequence[int] | None = None
) -> None:
    """Like `load_pretrained`, with weights in memory; ``path`` is their source, for messages."""
    own = network.state_dict()
    first = next((name for name, value in own.items() if name.startswith("encoder.") and value.ndim > 3), None)
    if first in weights:
        given, weights = weights[first], weights | {first: for_channels(weights[first], own[first], sources)}
        if weights[first].shape != given.shape:
            had, has = given.shape[1], own[first].shape[1]
            logger.info("%s: the weights for %d channels are copied to %d channels", first, had, has)
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    # heads differ from task to task; a backbone with other shapes was trained with other settings
    for name in [name for name in weights if name in own and name not in fitting and not name.startswith("head.")]:
        raise InputError(
            f"{path} does not fit the network: {name} is {tuple(weights[name].shape)} there and "
            f"{tuple(own[name].shape)} here; use the settings of its training, such as features"
        )
    if not any(value.is_floating_point() for value in fitting.values()):
        raise InputError(
            f"nothing in {path} fits the network: the file has {_by_part(weights)}, {type(network).__name__} has "
            f"{_by_part(own)}; use the network, and the config of a network, of its training"
        )
    network.load_state_dict(fitting, strict=False)
    logger.info("loaded %d of %d tensors from the pretrained weights: %s", len(fitting), len(own), _by_part(fitting))
    random = [name for name, value in own.items() if name not in fitting and value.is_floating_point()]
    for text, names in (("left at random", random), ("ignored", [name for name in weights if name not in own])):
        if names:
            logger.info("%s: %s", text, _by_part(names))


def for_channels(weight: Tensor, own: Tensor, sources: Sequence[int] | None = None) -> Tensor:
    """The weights of a first layer for images with other channels (Taleb 2020, appendix A: "duplicating").

    Without ``sources``, adjacent channels of the image get the weights of the same channel: after pretraining on T1 and
    FLAIR, T1 and contrast-enhanced T1 get the weights of T1, and T2 and FLAIR those of FLAIR, in the order of BraTS. The
    paper copies without scaling, so the layer's output grows with the number of copies.

    Args:
        weight: ``(out, c, *kernel)``.
        own: the layer's present weights, ``(out, C, *kernel)``.
        sources: for each of the C channels, the number of the pretrained channel whose weights it takes
            (`planewise.engines.channel_sources`).

    Returns:
        ``(out, C, *kernel)``; ``weight`` itself if C is not a multiple of c, or the layers differ in another way.
    """
    had, wanted = weight.shape[1], own.shape[1]
    if sources and max(sources) < had and len(sources) == wanted:
        return weight[:, list(sources)]
    alike = weight.ndim == own.ndim and weight[:, 0].shape == own[:, 0].shape
    return weight.repeat_interleave(wanted // had, dim=1) if alike and wanted % had == 0 else weight


def _by_part(names: Iterable[str]) -> str:
    """The numbers of tensors by the first part of their names, such as ``encoder 40, head 2``."""
    counts = Counter(name.split(".")[0] for name in names)
    return ", ".join(f"{part} {count}" for part, count in counts.items()) or "nothing"


def _public_names(encoder: nn.Module) -> list[str]:
    """The names of an encoder's weights in a public file: its ``public_names()``, or else its own names."""
    if hasattr(encoder, "public_names"):
        return encoder.public_names()
    # old files lack the counters of batches, which are not needed
    return [name for name in encoder.state_dict() if not name.endswith("num_batches_tracked")]


def _prefixes(encoder: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """The prefixes under which a file has all weights of an encoder, such as ``module.encoder_q.``; only the empty one if
    the file also has the names without a prefix."""
    wanted = _public_names(encoder)
    ends = (name.removesuffix(wanted[0]) for name in weights if name.endswith(wanted[0]))
    found = [end for end in ends if (not end or end.endswith(".")) and all(end + name in weights for name in wanted)]
    return [""] if "" in found else found


def _public_weights(encoder: nn.Module, weights: Mapping[str, Tensor], path: object) -> dict[str, Tensor]:
    """Select the weights for an encoder from those of a public file, and rename them with its ``from_public(weights)``, if it
    has one. All names in the file may have a prefix."""
    wanted, prefixes = _public_names(encoder), _prefixes(encoder, weights)
    if len(prefixes) != 1:
        absent = ", ".join([name for name in wanted if name not in weights][:3])
        raise InputError(
            f"{path} must contain one network with the ImageNet weights of {type(encoder).__name__}, but has {len(prefixes)} "
            f"(without a prefix, it lacks {absent}); load a pretext's weights with --pretrained"
        )
    found = {name.removeprefix(prefixes[0]): value for name, value in weights.items() if name.startswith(prefixes[0])}
    parts = {name.split(".")[0] for name in wanted}
    more = [name for name in found.keys() - {*wanted} if name.split(".")[0] in parts]
    if more := sorted(name for name in more if not name.endswith("num_batches_tracked")):
        raise InputError(
            f"{path} belongs to another network, which also has {', '.join(more[:3])}; set as many blocks or num_layers"
        )
    return encoder.from_public(found) if hasattr(encoder, "from_public") else found


def place_network(
    network: nn.Module, device: str | torch.device, channels_last: bool | str = True, compiled: bool | str = False
) -> nn.Module:
    """Move a network to a device, and set how it runs there.

    The defaults come from measurements (tools/docs/speed.md): channels last is not slower on a CPU and halves a step on an
    H100; compilation makes the steps of a CPU slower.

    Args:
        network: the network. It is changed in place; the names of its weights stay the same.
        device: the device to which it is moved.
        channels_last: whether to store the weights of convolutions with the channels last, so that PyTorch computes in
            this format. This does not apply to a network with both 2D and 3D convolutions. On a device other than a CPU, it
            does not apply to a 3D network with a layer for which PyTorch needs the default format there (`_FIRST`).
        compiled: whether to compile the network with ``torch.compile``; or ``cuda_graphs``, so that
            `planewise.engines.AutocastInferer` replays CUDA graphs of it in training.

    Raises:
        InputError: ``compiled`` is ``cuda_graphs``, but the device is not an NVIDIA GPU.
    """
    # PyTorch refuses a format for weights with another number of dimensions
    dims = {values.ndim for values in (*network.parameters(), *network.buffers())} & FORMATS.keys()
    innermost = parse_bool(channels_last, "channels_last") and len(dims) == 1
    if torch.device(device).type == "cpu":
        innermost &= not _corrupts_memory(network)
    elif dims == {5}:
        innermost &= not any(isinstance(module, _FIRST) for module in network.modules())
    network = network.to(device, memory_format=FORMATS[dims.pop()] if innermost else torch.preserve_format)
    if compiled == "cuda_graphs":
        if torch.device(device).type != "cuda":
            raise InputError(
                f"--compile cuda_graphs needs an NVIDIA GPU, but the device is {device}; leave --compile out"
            )
        network.cuda_graphs = True
    elif parse_bool(compiled, "compile (if not cuda_graphs)"):
        _compiled_part(network).compile()
    return network


def _corrupts_memory(network: nn.Module) -> bool:
    """Whether torch 2.13 may write outside its memory if the channels come last: on CPUs without AVX-512, in the gradient of
    a strided 1 x 1 convolution with fewer than 8 input channels."""
    narrow = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    return any(set(each.kernel_size) == {1} and max(each.stride) > 1 and each.in_channels < 8 for each in narrow)


def _compiled_part(network: nn.Module) -> nn.Module:
    """The part to compile: the whole network, or only the encoder if another part has MONAI's padding (`AlexNetDecoder`)."""
    # torch 2.13 compiles the gradient of replicated padding wrongly, so training would stop at the first step
    if not any(getattr(module, "is_pad", False) for module in network.modules()):
        return network
    logger.info("only the encoder is compiled, because torch cannot compile the decoder's padding")
    return network.encoder
