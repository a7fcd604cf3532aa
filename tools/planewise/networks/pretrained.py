"""Load the weights of one bundle, or of a public file, into the network of another, by name, and move it to its device."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from planewise.errors import InputError
from planewise.settings import parse_bool

logger = logging.getLogger(__name__)

#: Values of settings that mean "no weights". They include text, because `--pretrained null` arrives as text.
NO_WEIGHTS = (None, "", "null", "none", "None", False)
#: Types of weights that a network can have.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

#: Maps the number of dimensions of a convolution's weights to the memory format in which channels come last.
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}

#: Layers that, on CUDA, convert volumes to the default format and back, which is slower than that format (speed.md).
_FIRST = (nn.InstanceNorm3d, nn.GroupNorm, nn.MaxPool3d, nn.AvgPool3d)


def _read_torch(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _read_safetensors(path: Path) -> Any:
    from safetensors.torch import load_file  # only files of this format need the package

    return load_file(path)


#: Maps the ending of a file's name to its reader; other endings are PyTorch's. The content is a state dict, or one is under a
#: key in `_INSIDE`.
READERS: Mapping[str, Callable[[Path], Any]] = {".pt": _read_torch, ".safetensors": _read_safetensors}
_INSIDE = ("model", "network", "state_dict", "network_weights")


def weights_path(path: str | Path) -> str:
    """The file of the weights: ``path`` itself, or ``models/model.pt`` in the folder of a bundle or a run.

    Raises:
        InputError: there is no such file.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        path = path / "models" / "model.pt"
    if not path.is_file():
        raise InputError(
            f"there are no weights at {path.absolute()}; train first, or name a checkpoint or a run's folder"
        )
    return str(path)


def weights_of(network: nn.Module, path: str | Path) -> dict[str, Tensor]:
    """Like `read_weights`, for a file with the weights of this whole network.

    Raises:
        InputError: the weights do not fit ``network``; see also `read_weights`.
    """
    own, weights = network.state_dict(), read_weights(path)
    for name in [*own, *weights]:
        shapes = [tuple(state[name].shape) if name in state else "absent" for state in (weights, own)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"{path} belongs to another network: {name} is {shapes[0]} there, {shapes[1]} here; use its run's bundle/"
            )
    return weights


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
            f"{path} is no weights ({type(error).__name__}), or could run code; if you trust it, save only its state dict"
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
    # a sum is finite only if all its terms are; it takes a tenth of the time, and the host waits for the GPU only once
    sums = [value.sum(dtype=torch.promote_types(value.dtype, torch.float32)) for value in values.values()]
    if not sums or torch.stack([each.float() for each in sums]).isfinite().all():
        return []
    return [name for name, value in values.items() if not value.isfinite().all()]


def load_imagenet(network: nn.Module, path: str | Path | None) -> nn.Module:
    """Copy the weights of a public file into the encoder of ``network`` like `load_pretrained`, and return ``network``."""
    return load_pretrained(network, path, ["encoder"])


def load_pretrained(network: nn.Module, path: str | Path | None, parts: Sequence[str] | None = None) -> nn.Module:
    """Copy the weights with matching names and shapes into ``network``, log the result, and return the network.

    Heads differ from task to task, so they keep their initial values if their shapes differ. Parts that the file lacks
    stay random. In a public file (tools/docs/pretexts.md), the names are those of the encoder's or the decoder's
    ``public_names``. The encoder's first layer is adapted to images with more channels (`for_channels`).

    Args:
        network: the network, which is changed in place.
        path: see `read_weights`; None (or the text null or none) loads nothing.
        parts: the parts to load, such as ``["encoder"]``; None loads all parts.

    Raises:
        InputError: no weight fits, or weights outside the head have other shapes.
    """
    if path in NO_WEIGHTS:
        return network
    weights, own = read_weights(path), network.state_dict()
    weights = in_our_names(network, weights, path) or weights
    if parts is not None:
        left = [name for name in weights if name in own and name.split(".")[0] not in parts]
        if left:
            logger.info("left out, because only %s is loaded: %s", " and ".join(parts), _by_part(left))
        if len(left) == len(weights):
            raise InputError(
                f"nothing of {path} is loaded: it has {_by_part(left)}; name other --pretrained_parts, or null for all"
            )
        weights = {name: value for name, value in weights.items() if name not in left}
    _copy_fitting(network, weights, path)
    return network


def _copy_fitting(network: nn.Module, weights: dict[str, Tensor], path: str | Path) -> None:
    """Like `load_pretrained`, with weights in memory; ``path`` is their source, for messages."""
    own = network.state_dict()
    first = next((name for name, value in own.items() if name.startswith("encoder.") and value.ndim > 3), None)
    if first in weights and weights[first].ndim > 1:
        had, has = weights[first].shape[1], own[first].shape[1]
        level = first.split(".")[:3]
        for name in [name for name in weights if name in own and name.split(".")[:3] == level]:
            # the shortcut of a residual level also takes the image
            if weights[name].ndim > 1 and (weights[name].shape[1], own[name].shape[1]) == (had, has):
                weights = weights | {name: for_channels(weights[name], own[name])}
        if weights[first].shape[1] != had:
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
            f"{_by_part(own)}; add the config of its "
            "network, such as zoo_unet.yaml, cinema.yaml or resnet50.yaml (tools/docs/pretexts.md)"
        )
    network.load_state_dict(fitting, strict=False)
    logger.info("loaded %d of %d tensors from the pretrained weights: %s", len(fitting), len(own), _by_part(fitting))
    random = [name for name, value in own.items() if name not in fitting and value.is_floating_point()]
    for text, names in (("left at random", random), ("ignored", [name for name in weights if name not in own])):
        if names:
            logger.info("%s: %s", text, _by_part(names))


def for_channels(weight: Tensor, own: Tensor) -> Tensor:
    """The weights of a first layer for images with more channels (Taleb 2020, appendix A: "duplicating").

    Adjacent channels of the image get the weights of the same channel: after pretraining on T1 and FLAIR, T1 and
    contrast-enhanced T1 get the weights of T1, and T2 and FLAIR those of FLAIR, in the order of BraTS. The paper copies
    without scaling, so the layer's output grows with the number of copies.

    Args:
        weight: ``(out, c, *kernel)``.
        own: the layer's present weights, ``(out, C, *kernel)``.

    Returns:
        ``(out, C, *kernel)``; ``weight`` itself if C is not a multiple of c, or the layers differ in another way.
    """
    had, wanted = weight.shape[1], own.shape[1]
    alike = weight.ndim == own.ndim and weight[:, 0].shape == own[:, 0].shape
    return weight.repeat_interleave(wanted // had, dim=1) if alike and wanted % had == 0 else weight


def _by_part(names: Iterable[str]) -> str:
    """The numbers of tensors by the first part of their names, such as ``encoder 40, head 2``."""
    counts = Counter(name.split(".")[0] for name in names)
    return ", ".join(f"{part} {count}" for part, count in counts.items()) or "nothing"


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
            `planewise.engines.AutocastInferer` replays CUDA graphs of it in training; or ``auto``: a training decides.

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
    elif compiled == "auto":
        network.compiled = None
    elif parse_bool(compiled, "compile (if not auto or cuda_graphs)"):
        logger.info("the first calls of the network compile it, which takes longer")
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


def compile_steps(network: nn.Module) -> None:
    """Compile a network for training steps on inputs with the shapes in ``network.compiled``; if it is True, it becomes the
    shapes of the first step. All else runs as it is, such as validations, for which the network would be compiled again. If
    it cannot be compiled, ``network.compiled`` becomes False."""
    part = _compiled_part(network)
    if part._compiled_call_impl is not None:  # by an earlier run of the same trainer
        return
    part.compile(dynamic=False)
    compiled, begun = part._compiled_call_impl, False

    def call(*inputs: Any, **named: Any) -> Any:
        nonlocal begun
        shapes = [list(each.shape) for each in inputs]
        if not (part.training and torch.is_grad_enabled() and network.compiled in (True, shapes)):
            return part._call_impl(*inputs, **named)
        if begun:
            return compiled(*inputs, **named)
        begun = True
        try:
            # the backward pass is compiled now, too, where an error can be met
            with torch._functorch.config.patch(force_non_lazy_backward_lowering=True):
                output = compiled(*inputs, **named)
        except Exception as error:  # each part of the compiler raises its own
            logger.info("the network is not compiled, because this fails (%s)", str(error).partition("\n")[0])
            network.compiled = False
            return part._call_impl(*inputs, **named)
        network.compiled = shapes
        return output

    part._compiled_call_impl = call


#: The end of the name of a counter of batches, which is not needed; and a name in a list of modules, up to its number.
_COUNTER, _NUMBERED = "num_batches_tracked", re.compile(r"(.*?)\d+(?:\.|$)")


def in_our_names(network: nn.Module, weights: Mapping[str, Tensor], path: object) -> dict[str, Tensor]:
    """The weights of a public file, of which those of the encoder, and of a decoder with ``public_names``, get our names.

    A part's ``public_names()`` are tables of a file's names with its own, one for each layout of files; without them, a
    file has its own names. All names in the file may have a prefix. A part's ``from_public(weights)`` converts values.

    Returns:
        All weights of the file; empty if it is none that fits the encoder.

    Raises:
        InputError: the file has several networks like the encoder, or a deeper one, or only a part of one.
    """
    encoder, decoder = getattr(network, "encoder", None), getattr(network, "decoder", None)
    if encoder is None or (not hasattr(encoder, "public_names") and weights.keys() & network.state_dict().keys()):
        return {}
    found = _fitting(encoder, weights)
    if len(found) > 1:
        raise InputError(
            f"{path} has {len(found)} networks ({', '.join(prefix.rstrip('.') for prefix in found)}); name a file with one"
        )
    if not found:
        public = {name for names in layouts(encoder) for name in names} - network.state_dict().keys()
        if hasattr(encoder, "public_names") and public & weights.keys():
            raise InputError(
                f"{path} has only a part of a {type(encoder).__name__}; use the settings of its training, such as blocks"
            )
        return {}
    ((prefix, names),) = found.items()
    tables = {"encoder": names} | ({"decoder": layouts(decoder)[0]} if hasattr(decoder, "public_names") else {})
    given = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    known = {name for names in tables.values() for name in names}
    _refuse_more(given, known, path)
    ours = {name: value for name, value in weights.items() if not name.startswith(prefix)}
    ours |= {name: value for name, value in given.items() if name not in known and not name.endswith(_COUNTER)}
    for part, names in tables.items():
        module = getattr(network, part)
        own = {
            names.get(name, name): value for name, value in given.items() if name in names or name.endswith(_COUNTER)
        }
        own = module.from_public(own) if hasattr(module, "from_public") else own
        ours |= {f"{part}.{name}": value for name, value in own.items() if name in module.state_dict()}
    return ours


def layouts(part: nn.Module) -> list[dict[str, str]]:
    """For each layout of public files, the names that a file has, with a part's own names."""
    return part.public_names() if hasattr(part, "public_names") else [{name: name for name in part.state_dict()}]


def _needed(names: Iterable[str]) -> list[str]:
    """The names without those of the counters of batches, which old files lack."""
    return [name for name in names if not name.endswith(_COUNTER)]


def _fitting(part: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, dict[str, str]]:
    """Maps the prefixes, such as ``module.encoder_q.``, under which a file has all weights of a part, to their layouts; only
    the empty prefix if the file also has the names without one. A copy of the same weights does not count."""
    found: dict[str, dict[str, str]] = {}
    for names in layouts(part):
        first = next(iter(names))
        ends = (name.removesuffix(first) for name in weights if name.endswith(first))
        for end in ends:
            if (not end or end.endswith(".")) and all(end + name in weights for name in _needed(names)):
                others = (weights[other + next(iter(found[other]))] for other in found)
                if not any(torch.equal(weights[end + first], other) for other in others):
                    found[end] = names
    return {"": found[""]} if "" in found else found


def _refuse_more(given: Mapping[str, Tensor], known: set[str], path: object) -> None:
    """Raise an `InputError` if a file has more modules than are known in a list of modules, or others in one of them."""
    lists = {numbered[1] for name in known if (numbered := _NUMBERED.match(name))}
    left = sorted(name for name in given if name not in known and not name.endswith(_COUNTER))
    more = [name for name in left if (numbered := _NUMBERED.match(name)) and numbered[1] in lists]
    if more:
        raise InputError(
            f"{path} has more layers ({', '.join(more[:3])}); use the settings of its training, such as blocks"
        )
