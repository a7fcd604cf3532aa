"""Convert and check a run's settings before anything is read or trained."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from pydoc import locate
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from planewise.data.datalist import read_datalist
from planewise.engines.run_bundle import own_configs
from planewise.engines.run_record import holds_code
from planewise.engines.settings import PARTS, SETTINGS
from planewise.errors import InputError, refusal
from planewise.files.datalists import SECTIONS
from planewise.networks.pretrained import NO_WEIGHTS
from planewise.not_computed import PATHS
from planewise.words import did_you_mean, nearest

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
        InputError: a name is unknown, or a value is invalid (`planewise.engines.settings`).
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

    Below the top level, these are keys of ``train``, ``validate`` and ``evaluate``; MONAI refuses unknown arguments of a
    ``_target_``.
    """
    spelt = {*known, *PARTS, ConfigParser.meta_key} if known else {*config}
    references = _REFERENCE.findall(str(config))
    used = spelt | {name for name, _ in references}
    unknown = {
        name: nearest(name, spelt)
        for name, value in config.items()
        if name not in used and not str(name).startswith(_OF_ANCHORS) and not _runs(value)
    }
    for section in _SECTIONS:
        own = known.get(section) or {}
        keys = {*own, *(below for name, below in references if name == section)}
        new = (config.get(section) or {}).keys() - keys if own else ()
        unknown |= {f"{section}#{key}": nearest(key, keys) for key in sorted(new)}
    return unknown


def _runs(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(str(entry).startswith("$") for entry in value)


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
            f"--structures has the values {labels}, but with this bundle they must be 1, 2, 3, ..., because they are the "
            "network's classes; rename the values of the masks with `planewise index --label-map`"
        )
    if "image_size" in values:
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


def pretext_of_pieces(parser: ConfigParser) -> Any:
    """The pretext's transform if it gives the network pieces of images; None for any other pretext, because its transform
    may need the dataset."""
    pretext = (parser.get("train") or {}).get("pretext") or {}
    makes_pieces = hasattr(locate(str(pretext.get("_target_"))), "network_side")
    return parser.get_parsed_content("train#pretext") if makes_pieces else None


def _check_sides(parser: ConfigParser, settings: Mapping[str, Any]) -> None:
    """Check that the sides of an image, or of a piece of it, suit the network: the encoder halves them on each level."""
    pretext, name = pretext_of_pieces(parser), "window" if settings.get("window") else "image_size"
    pieces, remedy = getattr(pretext, "input_name", "images"), getattr(pretext, "input_remedy", f"raise --{name}")
    side = settings[name]
    if pretext is not None:
        side = pretext.network_side((settings["image_size"],) * settings.get("spatial_dims", 2))
    for part in _network_parts(parser):
        needed, multiple = getattr(part, "smallest_side", 1), getattr(part, "side_multiple", 1)
        if side < needed:
            raise InputError(
                f"{type(part).__name__} needs {pieces} of at least {needed} pixels a side, got {side}; {remedy}"
            )
        if side % multiple:
            raise InputError(
                f"--{name} must be a multiple of {multiple} for {type(part).__name__}, got {side}; set it to "
                f"{max(multiple, round(side / multiple) * multiple)}"
            )


def _network_parts(parser: ConfigParser) -> list[nn.Module]:
    """A network's encoder and decoder, if any, made without weights, which is fast and draws no random numbers. Errors other
    than an `InputError` are left for the run, because PyTorch may be unable to make a custom part without weights."""
    names = [name for name in ("encoder", "decoder") if name in (parser.get("network_def") or ())]
    # a separate parser, because the run's parser would cache the parts made here
    own = ConfigParser(deepcopy(parser.get())) if names else None
    try:
        with torch.device("meta"):
            return [own.get_parsed_content(f"network_def#{name}") for name in names]
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
            f"no training exam of {path} has a plane of the view {', '.join(absent)}; name other views with --views, or "
            "choose a pretext that needs none, such as location"
        )
    if "mapping" in settings and items and not any("location" in item for item in items):
        raise InputError(
            f"no training slice of {path} has a location (whole volumes never have one); choose another pretext"
        )
