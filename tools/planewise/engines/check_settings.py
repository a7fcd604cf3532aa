"""The values that settings of the bundles take, as `settings.yaml` declares them, and checks before anything is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from inspect import signature
from itertools import chain
from math import inf
from numbers import Integral, Real
from pathlib import Path
from pydoc import locate
from typing import Any

import torch
import yaml
from monai.bundle import ConfigParser
from torch import nn

from planewise.data.datalist import read_datalist
from planewise.engines.run_bundle import own_configs
from planewise.engines.run_record import holds_code
from planewise.errors import InputError, refusal
from planewise.files.datalists import SECTIONS
from planewise.files.masks import LARGEST_LABEL
from planewise.networks.pretrained import NO_WEIGHTS
from planewise.settings import PATHS, parse_bool
from planewise.words import did_you_mean, nearest

#: Words that stand for null on a command line: MONAI takes ``null`` and ``none`` for text, and drops ``None``.
NULLS = ("null", "none", "None")


@dataclass(frozen=True)
class Setting:
    """The declaration of a setting."""

    kind: str
    """a name in `KINDS`"""
    text: str
    """what it determines"""
    words: tuple[Any, ...] = ()
    """the words of a choice; words that are valid next to numbers"""
    least: float = -inf
    most: float = inf
    within: bool = False
    """whether a number may not be ``least`` or ``most`` itself"""
    shortest: int = 1
    longest: float = inf
    """length of a list"""
    or_null: bool = False

    def takes(self, value: Any) -> bool:
        """Whether a value is valid."""
        return self.or_null if value is None else KINDS[self.kind][0](self, value)

    def converted(self, name: str, value: str) -> Any:
        """The value that a word of a command line stands for."""
        if self.or_null and value in NULLS:
            return None
        return parse_bool(value, f"--{name}") if True in self.words and value not in self.words else value

    @property
    def values(self) -> str:
        """The valid values, in words."""
        ends = f"{'above' if self.within else 'of at least'} {self.least}" if self.least > -inf else ""
        if self.most < inf:
            ends = f"{'between' if self.within else 'from'} {self.least} {'and' if self.within else 'to'} {self.most}"
        listed = [str(word).lower() for word in self.words]
        choice = f"{', '.join(listed[:-1])} or {listed[-1]}" if len(listed) > 1 else "".join(listed)
        length = f"{'' if self.shortest == self.longest else 'at least '}{self.shortest} " if self.shortest > 1 else ""
        said = KINDS[self.kind][1].format(ends=ends, choice=choice, length=length)
        said += ", or all" if self.kind == "whole" and self.words else ""
        return f"{said.strip()}{', or null' if self.or_null else ''}"


def _is_word(own: Setting, value: Any) -> bool:
    return any(value is word if isinstance(word, bool) else value == word for word in own.words)


def _is_number(own: Setting, value: Any) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool) or not -inf < value < inf:
        return False
    return own.least <= value <= own.most and not (own.within and value in (own.least, own.most))


def _list_of(kind: str, *limits: float) -> Callable[[Setting, Any], bool]:
    """A check of a list whose entries are of a kind, within ``limits``."""
    each = Setting(kind, "", (), *limits)

    def holds(own: Setting, value: Any) -> bool:
        fits = isinstance(value, (list, tuple)) and own.shortest <= len(value) <= own.longest
        return fits and all(map(each.takes, value))

    return holds


def _are_names(own: Setting, value: Any) -> bool:
    return _list_of("word")(own, value) and len(set(value)) == len(value)


def _are_structures(own: Setting, value: Any) -> bool:
    if not isinstance(value, Mapping) or not _are_names(own, list(value.values())):
        return False
    labels = {int(key) if str(key).isdecimal() else 0 for key in value}
    return min(labels) > 0 and max(labels) <= LARGEST_LABEL and len(labels) == len(value)


#: Maps each kind of setting to a check, and to the valid values in words.
KINDS: Mapping[str, tuple[Callable[[Setting, Any], bool], str]] = {
    # a part of a config, or a setting that the class that uses it checks
    "anything": (lambda own, value: True, "as in the bundle's config"),
    "path": (lambda own, value: not isinstance(value, (bool, int, float)) and value != "", "a path"),
    "word": (lambda own, value: isinstance(value, str), "a word"),
    "choice": (_is_word, "{choice}"),
    "number": (_is_number, "a number {ends}"),
    "whole": (
        lambda own, value: _is_word(own, value) or (isinstance(value, Integral) and _is_number(own, value)),
        "a whole number {ends}",
    ),
    "names": (_are_names, "a list of {length}different names, such as \"['2ch', '4ch']\""),
    "sizes": (_list_of("whole", 1), 'a list of {length}whole numbers, such as "[16, 32]"'),
    "shares": (_list_of("number", 0, 1), 'a list of numbers from 0 to 1, such as "[0.0, 0.4]"'),
    "span": (
        lambda own, value: _list_of("number", 0, inf, True)(own, value) and len(value) == 2 and value[0] <= value[1],
        "two numbers above 0, the smaller one first",
    ),
    # people give some of these names to settings of their own, too (``channels: 3`` of a network)
    "several": (
        lambda own, value: not isinstance(value, str),
        "a list or a table, such as \"['t1', 'flair']\"; [] for none",
    ),
    "structures": (
        _are_structures,
        f"different names of mask values, which are whole numbers from 1 to {LARGEST_LABEL}, such as \"{{{{'1': LV}}}}\" "
        "(`planewise index --label-map` renames other values)",
    ),
}
#: Shorter names of kinds with the usual limits.
_USUAL: Mapping[str, Mapping[str, Any]] = {
    "positive": {"kind": "number", "least": 0, "within": True},
    "share": {"kind": "number", "least": 0, "most": 1},
    "switch": {"kind": "choice", "words": (True, False)},
    "whole": {"kind": "whole", "least": 1},
}


def _declared(entry: Mapping[str, Any]) -> Setting:
    (kind, text), *limits = entry.items()
    return Setting(**{"kind": kind, "text": text, **_USUAL.get(kind, {}), **dict(limits)})


#: Maps the name of each setting to its declaration.
SETTINGS: Mapping[str, Setting] = {
    name: _declared(entry)
    for name, entry in yaml.load(
        Path(__file__).with_name("settings.yaml").read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    ).items()
}

#: Keys of configs that are no settings, but parts.
PARTS = frozenset((
    "auxiliary_task", "dataloader", "dataset", "evaluate", "evaluator", "finalize", "handlers", "imports", "inferer",
    "initialize", "learner", "learner_def", "loss", "network", "network_def", "optimizer",
    "postprocessing", "preprocessing", "probe", "run", "scored", "train", "train_and_evaluate", "validate",
))  # fmt: skip


#: The ways in which a segmentation (Bai 2019, section 2) or a classification can start from a pretext.
_TRANSFERS = {True: ("scratch", "decoder", "all", "multitask"), False: ("all", "frozen_encoder")}
#: The first name of a reference, ``@train#trainer``, and the first two.
_REFERENCE = re.compile(r"@(?:#|::)*(\w+)(?:(?:#|::)(\w+))?")
#: The sections of a config, and the files of a bundle that have them.
_SECTIONS = {"train": "train", "validate": "train", "evaluate": "evaluate"}
#: Keys of config files that are there for YAML's anchors: ``x-sizes: &sizes [16, 32]``, then ``features: *sizes``.
_OF_ANCHORS = ("x-", ".")
#: Words of a command line below the top level, where no setting declares what a word means.
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


def checked(parser: ConfigParser) -> dict[str, Any]:
    """Convert the words of a config that MONAI leaves as text: ``{"compile": False, "optimizer#amsgrad": True}``.

    Raises:
        InputError: a name is unknown, or a value is invalid (`planewise.engines.check_settings`).
    """
    config, files = parser.get(), own_configs(parser)
    known = {key: None for content in files.values() for key in content}
    known |= {name: files[file][name] for name, file in _SECTIONS.items() if name in files.get(file, {})}
    if unknown := unknown_names(config, known):
        named = ", ".join(f"{name}{did_you_mean(near)}" for name, near in unknown.items())
        raise InputError(f"unknown setting: {named}; correct it, or leave it out (tools/docs/settings.md lists all)")
    new = {name: value for name, value in _converted(config) if value is not parser[name]}
    check_plain_settings({**config, **new})
    return new


def unknown_names(config: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, str | None]:
    """Map each name of a config that is neither known nor used by an expression to the nearest known name, or to None.

    Below the top level, these are keys of ``train``, ``validate`` and ``evaluate``; MONAI refuses unknown arguments.
    """
    spelt = {*known, *PARTS, ConfigParser.meta_key} if known else {*config}
    references = _REFERENCE.findall(str(config))
    used = spelt | {name for name, _ in references}
    unknown = {}
    for name, value in config.items():
        # a list of expressions, which a run names on the command line
        runs = isinstance(value, list) and value and all(str(entry).startswith("$") for entry in value)
        if name not in used and not str(name).startswith(_OF_ANCHORS) and not runs:
            unknown[name] = nearest(name, spelt)
    for section in _SECTIONS:
        own = known.get(section) or {}
        keys = {*own, *(below for name, below in references if name == section)}
        new = (config.get(section) or {}).keys() - keys if own else ()
        unknown |= {f"{section}#{key}": nearest(key, keys) for key in sorted(new)}
    return unknown


def _converted(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a config, and the values below them, whose words are converted, with their places."""
    if isinstance(value, (Mapping, list)):
        for key, entry in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _converted(entry, f"{place}#{key}" if place else str(key))
    elif isinstance(value, str) and place in SETTINGS and not holds_code(value):
        yield place, SETTINGS[place].converted(place, value)
    elif isinstance(value, str) and "#" in place and value.lower() in _WORDS:
        yield place, _WORDS[value.lower()]


def check_plain_settings(config: Mapping[str, Any]) -> None:
    """Refuse invalid values of a config with an `InputError`, apart from expressions, which may be computed from them."""
    for name, value in config.items():
        if name in SETTINGS and not holds_code(value) and not SETTINGS[name].takes(value):
            raise InputError(f"--{name} must be {SETTINGS[name].values}, got {value!r}")


def check_settings(parser: ConfigParser) -> None:
    """Refuse computed settings, and combinations of settings, that no run can use.

    Raises:
        InputError: a value is invalid, the device is not available, the images do not fit the network or its pieces, or
            the datalist or the weights lack what ``section``, ``views``, ``mapping`` or ``transfer`` need.
    """
    config = parser.get()  # `name in parser` would search for similar names if a config lacks a name
    # components, such as a schedule, would be made with the network
    names = [name for name in SETTINGS.keys() & config.keys() - PATHS if "_target_" not in str(config[name])]
    # plain settings come before settings that are computed from them, so that a message names the setting to change
    names.sort(key=lambda name: (holds_code(config[name]), name))
    values = {name: parser.get_parsed_content(name) for name in names}
    check_plain_settings(values)
    labels = sorted(map(int, values.get("structures", {})))
    if "MapLabelValued" not in str(config) and labels != list(range(1, len(labels) + 1)):
        raise InputError(
            f"--structures must have the values 1, 2, 3, ..., got {labels}; rename them with `planewise index --label-map`"
        )
    # the images of the weights that ship fit
    shipped = {} if "train" in config else own_configs(parser).get("inference", {})
    if "image_size" in values and any(values.get(name) != shipped.get(name) for name in ("image_size", "window")):
        _check_sides(parser, values)
    if "device" in values:
        _check_device(values["device"])
    values |= {name: parser.get_parsed_content(name) for name in PATHS if name in config}
    if values.get("transfer") is not None and "train" in config:
        _check_transfer(values)
    if {"section", "views", "mapping"} & values.keys() and Path(str(values.get("datalist"))).expanduser().is_file():
        _check_datalist(values)


def _check_transfer(settings: Mapping[str, Any]) -> None:
    """Check that the bundle has the ``transfer``, and what it needs: weights, and the other task's datalist."""
    mode, of_segmentation = settings["transfer"], "auxiliary_interval" in settings
    given = [name for name in ("pretrained", "imagenet") if settings.get(name) not in NO_WEIGHTS]
    if mode not in _TRANSFERS[of_segmentation]:
        raise InputError(f"--transfer must be one of {', '.join(_TRANSFERS[of_segmentation])}, got {mode!r}")
    if mode == "scratch" and "pretrained" in given:
        raise InputError("--transfer scratch starts from random weights; leave --pretrained out, or set --transfer all")
    if of_segmentation and mode != "scratch" and not given:
        raise InputError(f"--transfer {mode} needs a pretext's weights; name them with --pretrained, or choose scratch")


def _check_device(device: Any) -> None:
    try:
        torch.empty(0, device=torch.device(device))
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise InputError(
            f"--device {device} cannot be used: PyTorch sees {torch.cuda.device_count()} CUDA devices here; leave it out"
        ) from error


def input_side(parser: ConfigParser, side: int, dims: int = 2) -> int:
    """The smallest side, pixels, of what a network gets of images with sides of ``side``: pieces of them, if the pretext
    needs only pixels (``of_pixels``) and cuts them; an `InputError` if it cannot."""
    pretext = (parser.get("train") or {}).get("pretext") or {}
    if not getattr(locate(str(pretext.get("_target_"))), "of_pixels", False):
        return side
    with torch.random.fork_rng(devices=[]):
        made = parser.get_parsed_content("train#pretext")({"image": torch.zeros(1, 1, *[side] * dims)})
    return min(made["image"].shape[2:])


def _check_sides(parser: ConfigParser, settings: Mapping[str, Any]) -> None:
    """Check that encoder and decoder, with weights of zero, take images of this side, or pieces of them, and return to their
    grid. Parts that take no side at all this way are left for the run."""
    dims, name = settings.get("spatial_dims", 2), "window" if settings.get("window") else "image_size"
    side = input_side(parser, settings["image_size"], dims) if name == "image_size" else settings[name]
    # volumes get no memory; what PyTorch loads for this takes a second
    device = "cpu" if dims == 2 else "meta"
    parts = _network_parts(parser, device)

    @torch.no_grad()
    def takes(side: int) -> bool:
        image = torch.zeros(1, settings.get("in_channels", 1), *[side] * dims, device=device)
        try:
            made: Any = parts[0](image)
            return len(parts) == 1 or parts[1](made).shape[2:] == image.shape[2:]
        except Exception:  # each network has errors of its own
            return False

    if not parts or takes(side):
        return
    near = next(
        (
            each
            for each in sorted(range(max(1, side - 64), side + 65), key=lambda each: abs(each - side))
            if takes(each)
        ),
        None,
    )
    if near is not None:
        pieces = f"--{name} {side}" if side == settings[name] else f"pieces of {side} pixels"
        raise InputError(f"{type(parts[0]).__name__} cannot take {pieces}; the nearest side is {near}: change --{name}")


def _network_parts(parser: ConfigParser, device: str) -> list[nn.Module]:
    """A network's encoder, if any, and its decoder, if it takes only the features, with weights of zero. Errors other than an
    `InputError` are left for the run, because PyTorch may be unable to make a custom part in this way."""
    network = parser.get("network_def") or {}
    # a separate parser, because the run's parser would cache the parts made here
    own = ConfigParser(deepcopy(parser.get())) if "encoder" in network else None
    try:
        with torch.device("meta"):
            names = [f"network_def#{name}" for name in ("encoder", "decoder") if own is not None and name in network]
            # without dropout, which would draw random numbers of the run
            parts = [own.get_parsed_content(name).eval().to("meta").to_empty(device=device) for name in names]
        for part in parts:
            for value in chain(part.parameters(), part.buffers()):
                value.detach().zero_()
        return [part for part in parts if len(signature(part.forward).parameters) == 1]
    except Exception as error:
        if refusal(error) is not None:
            raise
        return []


def _check_datalist(settings: Mapping[str, Any]) -> None:
    """Check that a datalist has what the settings name: exams to score, views, and locations."""
    path, section = settings["datalist"], settings.get("section")
    content = read_datalist(path)
    # a fold divides the training and validation sections again, and leaves the others as they are
    folded = settings.get("fold") is not None and section in ("training", "validation")
    scored = [name for name in SECTIONS if section in (name, "all", None)]
    if not folded and section is not None and not any(content.get(name) for name in scored):
        raise InputError(
            f"section {section} of {path} is empty; name another one with --section, or index the exams again"
        )
    items = content.get("training") or []
    known = {view for item in items for view in item.get("planes") or ()} - {content.get("planewise", {}).get("stack")}
    if absent := [view for view in settings.get("views", ()) if items and view not in known]:
        raise InputError(
            f"no training exam of {path} has a plane of {', '.join(absent)}; name other views with --views"
        )
    if "mapping" in settings and items and not any("location" in item for item in items):
        raise InputError(
            f"no training slice of {path} has a location (whole volumes never have one); choose another pretext"
        )
