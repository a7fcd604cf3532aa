"""Weights that others publish, with the names of our networks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from planewise.errors import InputError

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
            f"{path} must contain one network with the weights of {type(encoder).__name__}, but has {len(found)} "
            f"({', '.join(prefix.rstrip('.') for prefix in found)}); name a file with one of them"
        )
    if not found:
        _refuse_a_part(network, weights, path)
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


def _refuse_a_part(network: nn.Module, weights: Mapping[str, Tensor], path: object) -> None:
    """Raise an `InputError` if a file has some of the encoder's public names, but not all."""
    own, encoder = network.state_dict(), network.encoder
    for names in layouts(encoder) if hasattr(encoder, "public_names") else ():
        lacking = [name for name in _needed(names) if name not in weights]
        if any(name in weights and name not in own for name in names):
            raise InputError(
                f"{path} has a network like {type(encoder).__name__}, but lacks {', '.join(lacking[:3])}; use the settings "
                "of its training, such as blocks or num_layers"
            )


def _refuse_more(given: Mapping[str, Tensor], known: set[str], path: object) -> None:
    """Raise an `InputError` if a file has more modules than are known in a list of modules, or others in one of them."""
    lists = {numbered[1] for name in known if (numbered := _NUMBERED.match(name))}
    left = sorted(name for name in given if name not in known and not name.endswith(_COUNTER))
    more = [name for name in left if (numbered := _NUMBERED.match(name)) and numbered[1] in lists]
    if more:
        raise InputError(
            f"{path} belongs to another network, which also has {', '.join(more[:3])}; use the settings of its training, "
            "such as blocks or num_layers"
        )
