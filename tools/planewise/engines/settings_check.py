"""Check a run's settings before anything is read or trained."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from numbers import Integral, Real
from pathlib import Path
from pydoc import locate
from typing import Any

import torch
from fire.parser import DefaultParseValue  # `monai.bundle run` reads its options with fire
from monai.bundle import ConfigParser
from torch import nn

from planewise.data.datalist import read_datalist
from planewise.data.hearts import IMAGES
from planewise.engines.overrides import config_files, overrides, path_of, target_of, walk
from planewise.engines.references import leaves
from planewise.errors import InputError, refusal
from planewise.exams.mask_checks import LARGEST_LABEL
from planewise.exams.split import SECTIONS
from planewise.geometry import end_direction
from planewise.networks.pretrained import NO_WEIGHTS
from planewise.not_computed import PATHS
from planewise.parse_bool import parse_bool

#: A function that tests whether a value is valid, and a description of valid values.
Check = tuple[Callable[[Any], bool], str]


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) < float("inf")


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _list_of(each: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and len(value) > 0 and all(map(each, value))

    return check


def _different(value: Any) -> bool:
    return _list_of(lambda name: isinstance(name, str))(value) and len(set(value)) == len(value)


NUMBER: Check = (_number, "a number")
POSITIVE: Check = (lambda value: _number(value) and value > 0, "a number above 0")
NOT_NEGATIVE: Check = (lambda value: _number(value) and value >= 0, "a number that is not negative")
SHARE: Check = (lambda value: _number(value) and 0 <= value <= 1, "a number from 0 to 1")
PART: Check = (lambda value: _number(value) and 0 <= value < 1, "a number of at least 0 and less than 1")
COUNT: Check = (lambda value: _whole(value) and value >= 1, "a whole number, at least 1")
SEVERAL: Check = (lambda value: _whole(value) and value >= 2, "a whole number, at least 2")
COUNT_OR_ALL: Check = (lambda value: value == "all" or COUNT[0](value), f"{COUNT[1]}, or all")
WHOLE: Check = (lambda value: _whole(value) and value >= 0, "a whole number that is not negative")
NAMES: Check = (_different, "a list of different names, such as \"['2ch', '4ch']\"")
SIZES: Check = (_list_of(COUNT[0]), 'a list of whole numbers, such as "[16, 32, 64]"')
#: For names that people give to settings of their own, too (``channels: 3`` of a network).
SEQUENCE: Check = (
    lambda value: value is not None and not isinstance(value, str),
    "a list or a table, such as \"['t1', 'flair']\"; [] for none",
)
PAIR: Check = (lambda value: _list_of(POSITIVE[0])(value) and len(value) == 2, "two numbers above 0")
RANGE: Check = (lambda value: PAIR[0](value) and value[0] <= value[1], f"{PAIR[1]}, the smaller one first")
WIDTHS: Check = (lambda value: SIZES[0](value) and len(value) == 2, "two whole numbers, at least 1")


def _two_ends(value: Any) -> bool:
    if not _list_of(lambda end: isinstance(end, str))(value) or len(value) != 2:
        return False
    try:
        return all(end_direction(end) is not None for end in value)
    except ValueError:
        return False


def _structures(value: Any) -> bool:
    if not isinstance(value, Mapping) or not _different(list(value.values())):
        return False
    values = [int(key) if str(key).isdecimal() else 0 for key in value]
    return min(values) > 0 and max(values) <= LARGEST_LABEL and len(set(values)) == len(values)


def _optional(check: Check) -> Check:
    return lambda value: value is None or check[0](value), f"{check[1]}, or null"


def _one_of(*words: str) -> Check:
    return lambda value: value in words, f"{', '.join(words[:-1])} or {words[-1]}"


_ANYTHING: Check = (lambda value: True, "")

#: The ways in which a segmentation (Bai 2019, section 2) or a classification can start from a pretext.
_SEGMENTATION_TRANSFER = _optional(_one_of("scratch", "decoder", "all", "multitask"))
_CLASSIFICATION_TRANSFER = _one_of("all", "frozen_encoder")
#: Settings of ``transfer: multitask`` that name files: a configuration of one or more files, and a datalist.
OTHER_TASK_FILES = ("pretext_config", "pretext_datalist")

#: Twice the largest batch of the SimCLR paper (8192). A larger number is taken for a mistake, because it would put all
#: images into one batch.
_LARGEST_BATCH = 16384

#: The values of ``amp`` in lower case (`planewise.engines.precision`).
_PRECISIONS = (
    "auto", "true", "false", "float32", "bfloat16", "float16", "yes", "no", "on", "off", "1", "0", "none", "null"
)  # fmt: skip

#: The settings that share a check.
_ALIKE: Sequence[tuple[Check, tuple[str, ...]]] = (
    (COUNT, (
        "auxiliary_interval", "bottleneck", "code_features", "context_features", "growth_rate", "image_size", "in_channels",
        "init_features", "log_interval", "lr_step", "max_epochs", "num_negatives", "num_trees", "patch_features",
        "patch_size", "patches_per_side", "rows_ahead", "stem_stride", "val_interval", "val_samples",
    )),
    (SHARE, (
        "blur_prob", "dropout", "flip_prob", "foreground_threshold", "inpaint_prob", "intensity_prob", "lr_factor",
        "min_trusted", "momentum", "nonlinear_prob", "paint_prob", "pretext_flip_prob", "rotate_prob", "sgd_momentum",
        "shuffle_prob", "zoom_prob",
    )),
    (NOT_NEGATIVE, (
        "bias_field", "brightness", "encoder_lr_factor", "gamma", "l1", "learning_rate", "location_weight", "mask_margin",
        "min_obliquity", "noise", "orientation_weight", "rotate", "shift", "weight_decay",
    )),
    (POSITIVE, (
        "line_width", "lr_gamma", "margin", "max_residual", "max_slice_distance", "max_spread", "sigma", "spacing",
        "square_size", "square_step", "temperature",
    )),
    (WHOLE, (
        "examples", "fold_seed", "frozen_epochs", "lr_patience", "min_found", "patch_jitter", "seed", "subject_seed",
    )),
    (_optional(COUNT), ("max_slices", "num_exams", "num_subjects", "samples_per_epoch", "tile_size", "window")),
    (RANGE, ("blur_sigma", "contrast_range", "zoom")),
    (NUMBER, ("min_agreement", "min_order", "min_peak")),
    (SIZES, ("blocks", "features")),
    (WIDTHS, ("embedding", "projection")),
    (_one_of("linear", "sine"), ("mapping", "probe_mapping")),
    (_one_of("error", "mask"), ("missing_planes", "parallel_planes")),
    (_optional(WHOLE), ("fold", "num_workers", "patience")),
    (PART, ("patch_overlap", "tile_gap")),
    (SEVERAL, ("num_permutations", "tiles_per_side")),
    (COUNT_OR_ALL, ("samples_per_exam", "val_samples_per_exam")),
    (NAMES, ("tasks", "views")),
    (SEQUENCE, ("betas", "channels", "classes", "probe_counts", "regions", "slices")),
)  # fmt: skip

#: Maps the name of a setting to its check, for the configs of all bundles.
CHECKS: Mapping[str, Check] = {name: check for check, names in _ALIKE for name in names} | {
    "amp": (lambda value: str(value).strip().lower() in _PRECISIONS, "auto, true, false, float32, bfloat16 or float16"),
    "axcodes": _optional(
        (
            lambda value: isinstance(value, str) and sorted("LRPAIS".find(axis) // 2 for axis in value) == [0, 1, 2],
            "a direction for each axis, such as RAS or LPS: L or R, A or P, and S or I, in any order",
        )
    ),
    "background_prob": _optional((lambda value: _number(value) and 0 < value < 1, "a number between 0 and 1")),
    "batch_size": (
        lambda value: COUNT[0](value) and value <= _LARGEST_BATCH,
        f"{COUNT[1]} and at most {_LARGEST_BATCH}",
    ),
    "cycle_points": _optional((_list_of(SHARE[0]), "a list of numbers from 0 to 1")),
    "ends": (_two_ends, 'two ends of different lines, such as "[L, AS]": letters of L, R, A, P, S, I'),
    "field_without_spacing": _optional(POSITIVE),
    "grades": (lambda value: _different(value) and len(value) > 1, 'a list of different names, such as "[none, mild]"'),
    "head_features": (lambda value: value == [] or SIZES[0](value), f"{SIZES[1]}; [] for none"),
    "head_norm": _one_of("batch", "none"),
    "heart_labels": (_list_of(COUNT[0]), 'a list of mask values from 1, such as "[1, 2, 3]"'),
    "images": _one_of(*IMAGES),
    "l1_reduction": _one_of("mean", "sum"),
    "loss_form": _one_of("infonce", "binary"),
    "mask_ratio": (lambda value: _number(value) and 0 < value < 1, "a number between 0 and 1"),
    "negatives_from": _one_of("batch", "dataset"),
    "phases": _one_of("ed", "all"),
    "pretrained_parts": _optional((_different, "a list of different parts of the network, such as \"['encoder']\"")),
    "section": _one_of(*SECTIONS, "all"),
    "spatial_dims": (lambda value: value in (2, 3), "2 or 3"),
    "structures": (
        _structures,
        f"different names of mask values, which are whole numbers from 1 to {LARGEST_LABEL}, such as \"{{'1': LV}}\" "
        "(`planewise index --label-map` renames other values)",
    ),
}

#: Optional settings without an entry in `CHECKS`. (Weights have their own words for null, `NO_WEIGHTS`.)
_OPTIONAL_UNCHECKED = (
    "class_key", "contrast", "lr_scheduler", "masks", "permutation_file", "phase_plans", "plane_bounds",
    "pretext_datalist", "trained_on", "transfer", "voxel_size",
)  # fmt: skip
#: The settings that may be null. On a command line, these words stand for it: MONAI takes ``null`` and ``none`` for text,
#: and drops ``None``.
OPTIONAL = frozenset(name for name, (holds, _) in CHECKS.items() if holds(None)) | frozenset(_OPTIONAL_UNCHECKED)
NULLS = ("null", "none", "None")

#: Settings that are true or false, and whose words (such as ``false``) are parsed only in `with_words`.
_SWITCHES = (
    "lr_epoch_level", "mask_crop", "normalize_patches", "progress", "save_masks", "standardize", "standardize_tiles",
    "volumes", "writes",
)  # fmt: skip

#: Settings that are checked only together with other settings.
_CHECKED_TOGETHER = ("datalist", "device", "imagenet", "pretext_datalist", "pretrained", "transfer")


def with_words(config: Mapping[str, Any], arguments: Sequence[str]) -> Mapping[str, Any]:
    """Parse the words of a config and of its overrides that MONAI leaves as text: ``false`` would count as true.

    - The words true and false, in any case, of overrides at any depth, such as ``--optimizer#amsgrad false``. Switches, and
      arguments that are true or false by default, take the other words of `parse_bool`, too.
    - The words for null (`NULLS`), if the setting is optional; below the top level, null and None of any override.
    - Paths become what was written: MONAI converts the 7 of ``--input 7`` to a number, and reads ``run`` for ``run#1``.

    Args:
        config: a config, overrides included. It stays unchanged.
        arguments: the command line of ``python -m monai.bundle run``; without ``--config_file`` it is not read.

    Returns:
        The new config; the given object if it has no such words.

    Raises:
        InputError: the word for a switch means neither true nor false, or a path is missing.
    """
    given = dict(overrides(arguments)) if config_files(arguments) else {}  # the last value of a repeated option counts
    changed: dict[str, Any] = {}
    for name in {**config, **given}:
        *above, key = path_of(name)
        place, missing = walk(config, above)
        if missing or not isinstance(place, (Mapping, list)):
            continue
        value, absent = walk(place, [key])
        word = given.get(name, value)
        optional = not absent and key in OPTIONAL
        if isinstance(word, str) and word in (("null", "None") if above else NULLS if optional else ()):
            new = None
        elif absent:
            continue
        elif not above and key in PATHS:
            new = _path(key, value, given)
        elif _is_switch(above, place, key, value):
            new = parse_bool(value, f"--{name}")
        elif name in given:
            new = _parsed(value)
        else:
            continue
        if absent or new != value:
            changed[name.lstrip("+~")] = new
    if not changed:
        return config
    tops = {path_of(name)[0] for name in changed}
    parser = ConfigParser({**config, **{top: deepcopy(config[top]) for top in tops}})
    parser.update(changed)
    return parser.get()


def _parsed(value: Any, within: bool = False) -> Any:
    """A value of a command line with its words true and false as Booleans and, within tables and lists, null as None."""
    if isinstance(value, Mapping):
        return {key: _parsed(entry, True) for key, entry in value.items()}
    if isinstance(value, list):
        return [_parsed(entry, True) for entry in value]
    words = {"true": True, "false": False} | ({"null": None} if within else {})
    return words.get(value.lower(), value) if isinstance(value, str) else value


def _is_switch(above: Sequence[str], place: Any, key: str, value: Any) -> bool:
    """Whether a text was given for a switch or, below the top level, for an argument that is true or false by default and
    cannot be a text."""
    if not isinstance(value, str) or _has_expression(value):
        return False
    if not above:
        return key in _SWITCHES
    try:
        argument = inspect.signature(target_of(place)).parameters[key]
    except (KeyError, TypeError, ValueError):
        return False
    return isinstance(argument.default, bool) and "str" not in str(argument.annotation)


def _path(name: str, value: Any, given: Mapping[str, str]) -> Any:
    """The value of a setting that is a path, as the person wrote it: MONAI makes a number or a list of some words, and takes
    ``#`` on a command line for the beginning of a comment, and elsewhere for ``::``.

    Args:
        name: the setting.
        value: its value.
        given: the settings of the command line, as written.
    """
    folder, text = name in ("bundle_root", "input", "output_dir"), given.get(name, "")
    same = str(DefaultParseValue(text)).replace("#", "::") == str(value).replace("#", "::")
    same = same and text != "" and (folder or not isinstance(value, bool))
    # MONAI sets an option without a value to true; an empty path would be the working folder, or the root of the disk
    if (value is True and not same) or (value == "" and folder):
        raise InputError(f"--{name} must be a path, but none follows it; write one, or leave --{name} out")
    if name == "pretext_config" and isinstance(value, (list, tuple)):
        return type(value)(_path("datalist", file, {}) for file in value)
    if not same and (value is None or isinstance(value, (Path, bool)) or _has_expression(value)):
        return value
    if not same:
        text = str(value).replace("::", "#")
    elif text.startswith(("$", "@", "%")):
        return value
    elif text[0] in "'\"":
        text = DefaultParseValue(text)
    # an expression, because MONAI would replace the character in a text
    return "$" + repr(text).replace("#", r"\x23").replace("@", r"\x40") if "#" in text else text


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that no run can use.

    Args:
        settings: a config's evaluated settings (settings without a check are accepted), and three further entries. ``parts``
            and ``pretext`` are functions without arguments: ``parts`` returns the network's encoder and decoder as a
            dictionary, and ``pretext`` calls `pretext_of_pieces`. (A pretext that gives the network pieces of images has
            ``network_side``, ``input_name`` and ``input_remedy``, see `planewise.pretexts.JigsawTilesd`.) ``renames_labels``
            states whether the config converts mask values to class numbers; if it is False, the mask values must be the
            class numbers.

    Raises:
        InputError: a value is invalid (`CHECKS`); the device is not available; the images do not fit the network, the
            puzzle or the patches; the ``section`` to score is empty; no training exam of ``datalist`` has one of the
            ``views``, or the locations that ``mapping`` needs; or ``transfer`` needs weights or images that are not given.
    """
    for name, value in settings.items():
        _check(name, value, CHECKS.get(name, _ANYTHING))
    if "structures" in settings and settings.get("renames_labels") is False:
        _check_classes(settings["structures"])
    if "transfer" in settings:
        _check_transfer(settings)
    if "device" in settings:
        _check_device(settings["device"])
    if "image_size" in settings:
        _check_sides(settings)
    if not Path(str(settings.get("datalist"))).expanduser().is_file():
        return
    # a fold divides the training and validation sections again, and leaves the others as they are
    folded = settings.get("fold") is not None and settings.get("section") in ("training", "validation")
    if "section" in settings and not folded:
        _check_section(settings["section"], settings["datalist"])
    if "views" in settings:
        _check_views(settings["views"], settings["datalist"])
    if "mapping" in settings:
        _check_locations(settings["datalist"])


def check_plain_settings(config: Mapping[str, Any]) -> None:
    """Refuse invalid values of a config, apart from expressions, which may be computed from these values.

    Raises:
        InputError: a value is invalid (`CHECKS`).
    """
    for name, check in {**CHECKS, "transfer": _transfer_check(config)}.items():
        if name in config and not _has_expression(config[name]):
            _check(name, config[name], check)


def check_planned_run(files: Sequence[str | Path], given: Mapping[str, str], bundle_root: str | Path) -> None:
    """Refuse settings that no run can use, before the run starts; it may start later, and on another machine.

    Devices and files are therefore not checked, and a setting that cannot be evaluated yet is left for the run to report.

    Args:
        files: the files of ``--config_file``, in order.
        given: the options of the command line, as texts.
        bundle_root: the bundle's folder.

    Raises:
        InputError: see `check_settings`.
    """
    parser = planned_config(files, given, bundle_root)
    check_plain_settings(parser.get())
    try:
        settings = evaluated_settings(parser)
        if "transfer" in settings:
            _check("transfer", settings["transfer"], _transfer_check(parser.get()))
        check_settings({name: value for name, value in settings.items() if name not in _CHECKED_TOGETHER})
    except Exception as error:
        if (refused := refusal(error)) is not None:
            raise refused from None


def planned_config(files: Sequence[str | Path], given: Mapping[str, str], bundle_root: str | Path) -> ConfigParser:
    """The config of a run that may start later.

    Args:
        files, given, bundle_root: see `check_planned_run`.
    """
    parser = ConfigParser(ConfigParser.load_config_files([str(file) for file in files]))
    parser["bundle_root"] = str(bundle_root)
    for name, text in given.items():
        if name in parser.get():
            parser[name] = text if name in PATHS else DefaultParseValue(text)
    return ConfigParser(dict(with_words(parser.get(), ())))


def _has_expression(value: Any) -> bool:
    """Whether a value, or a value in it, is an expression or a reference, such as ``["@width", 32]``."""
    return any(isinstance(text, str) and text.startswith(("$", "@", "%")) for text in leaves(value))


def evaluated_settings(parser: ConfigParser) -> dict[str, Any]:
    """The input of `check_settings`: the evaluated settings of a config, and the functions ``parts`` and ``pretext``."""
    # `name in parser` would take a second in total, because it searches for similar names if a config lacks a name
    config = parser.get()
    for name in ("optimizer", "lr_scheduler", "loss"):
        _refuse_text_numbers(config.get(name), name)
    names = [name for name in (*CHECKS, *_CHECKED_TOGETHER) if name in config]
    # plain settings come before settings that are computed from them, so that a message names the setting to change
    names.sort(key=lambda name: str(config[name]).startswith(("$", "@")))
    evaluated = {name: parser.get_parsed_content(name) for name in names}
    # a function, so that the parts are made only after their settings are checked
    return evaluated | {
        "renames_labels": "MapLabelValued" in str(config),
        "parts": lambda: network_parts(parser),
        "pretext": lambda: pretext_of_pieces(parser),
    }


def pretext_of_pieces(parser: ConfigParser) -> Any:
    """The pretext's transform if it gives the network pieces of images. Making the transform also checks its settings.

    For any other pretext, the result is None, because its transform may need the dataset.
    """
    pretext = (parser.get("train") or {}).get("pretext") or {}
    makes_pieces = hasattr(locate(str(pretext.get("_target_"))), "network_side")
    return parser.get_parsed_content("train#pretext") if makes_pieces else None


def network_parts(parser: ConfigParser) -> dict[str, nn.Module]:
    """A network's encoder and decoder, if it has them. They are made without weights, which is fast and draws no random
    numbers.

    Raises:
        InputError: their settings contradict each other. Any other error is left for the run to report, because PyTorch may
            be unable to make a custom part without weights.
    """
    names = [name for name in ("encoder", "decoder") if name in (parser.get("network_def") or ())]
    # a separate parser, because the run's parser would cache the parts made here
    own = ConfigParser(deepcopy(parser.get())) if names else None
    try:
        with torch.device("meta"):
            return {name: own.get_parsed_content(f"network_def#{name}") for name in names}
    except Exception as error:
        if refusal(error) is not None:
            raise
        return {}


def _check(name: str, value: Any, check: Check) -> None:
    holds, wanted = check
    if not holds(value):
        raise InputError(f"--{name} must be {wanted}, got {value!r}{_hint(value)}")


def _check_classes(structures: Mapping[int | str, str]) -> None:
    """Check that the mask values are the class numbers of the network, whose class 0 is the background."""
    values = [int(value) for value in structures]
    if sorted(values) != list(range(1, len(values) + 1)):
        raise InputError(
            f"--structures has the values {', '.join(map(str, values))}, but with this bundle they must be 1, 2, 3, ... "
            "without a gap, because they are the network's classes; renumber them, and rename the values of the masks with "
            "`planewise index --label-map`"
        )


def _transfer_check(settings: Mapping[str, Any]) -> Check:
    """The check of ``transfer``; a segmentation can continue to train the pretext."""
    return _SEGMENTATION_TRANSFER if "auxiliary_interval" in settings else _CLASSIFICATION_TRANSFER


def _check_transfer(settings: Mapping[str, Any]) -> None:
    """Check that the weights and the other task's datalist are given if ``transfer`` needs them."""
    mode, check = settings["transfer"], _transfer_check(settings)
    _check("transfer", mode, check)
    if check is not _SEGMENTATION_TRANSFER:
        return
    given = [name for name in ("pretrained", "imagenet") if settings.get(name) not in NO_WEIGHTS]
    if mode == "scratch" and "pretrained" in given:
        raise InputError("--transfer scratch starts from random weights; leave --pretrained out, or set --transfer all")
    if mode in ("decoder", "all", "multitask") and not given:
        raise InputError(
            f"--transfer {mode} starts from a pretext's weights, but none are given; name them with --pretrained, or set "
            "--transfer scratch"
        )
    datalist = settings.get("pretext_datalist")
    if mode != "multitask" and datalist is not None:
        raise InputError(
            "--pretext_datalist works only with --transfer multitask; add that option, or leave the datalist out"
        )
    if mode == "multitask" and datalist is None:
        raise InputError(
            "--transfer multitask continues to train the pretext, but there are no images for it; name the pretext's "
            "datalist with --pretext_datalist"
        )
    if mode == "multitask" and not Path(str(datalist)).expanduser().is_file():
        raise InputError(f"there is no datalist {datalist}; name the pretext's datalist with --pretext_datalist")


def _hint(value: Any) -> str:
    """A hint for numbers that YAML reads as text, such as 1e-3."""
    try:
        number = float(value) if isinstance(value, str) else None
    except ValueError:
        return ""
    return "" if number is None or not math.isfinite(number) else f"; YAML reads it as text: write {number!r}"


def _refuse_text_numbers(content: Any, key: str) -> None:
    """Refuse arguments that are numbers for people, but text for YAML, such as ``lr: 1e-3``."""
    if isinstance(content, dict | list):
        for name, value in content.items() if isinstance(content, dict) else enumerate(content):
            _refuse_text_numbers(value, f"{key}#{name}")
    elif hint := _hint(content):
        raise InputError(f"{key} is {content!r}{hint}")


def _check_device(device: Any) -> None:
    try:
        torch.empty(0, device=torch.device(device))
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        count = torch.cuda.device_count()
        there = (
            f"{count} CUDA device{'s' * (count > 1)} (cuda:0{f' to cuda:{count - 1}' * (count > 1)})"
            if count
            else "no GPU"
        )
        raise InputError(
            f"--device {device} cannot be used, because PyTorch sees {there} here; leave it out to use the best available "
            "device, or set --device cpu"
        ) from error


def _check_sides(settings: Mapping[str, Any]) -> None:
    """Check that the sides of an image, or of a piece of it, suit the network: the encoder halves them on each level."""
    pretext = settings.get("pretext", lambda: None)()
    name, remedy = getattr(pretext, "input_name", "images"), getattr(pretext, "input_remedy", "raise --image_size")
    if hasattr(pretext, "network_side"):
        side = pretext.network_side((settings["image_size"],) * settings.get("spatial_dims", 2))
    else:
        side = settings.get("window") or settings["image_size"]
    for part in settings.get("parts", dict)().values():
        needed, multiple = getattr(part, "smallest_side", 1), getattr(part, "side_multiple", 1)
        if side < needed:
            raise InputError(
                f"{type(part).__name__} needs {name} of at least {needed} pixels a side, got {side}; {remedy}"
            )
        if side % multiple:
            near = max(multiple, round(side / multiple) * multiple)
            raise InputError(
                f"--{'window' if settings.get('window') else 'image_size'} must be a multiple of {multiple} for "
                f"{type(part).__name__}, got {side}; set it to {near}"
            )


def _check_section(section: str, datalist: str | Path) -> None:
    content = read_datalist(datalist)
    if not any(content.get(name) for name in (SECTIONS if section == "all" else (section,))):
        filled = ", ".join(name for name in SECTIONS if content.get(name)) or "none"
        raise InputError(
            f"section {section} of {datalist} is empty, so there is nothing to score (sections with exams: {filled}); name "
            "another section with --section, or divide the exams again with `planewise index --sections FILE`"
        )


def _check_views(views: Any, datalist: str | Path) -> None:
    content = read_datalist(datalist)
    stack = (content.get("planewise") or {}).get("stack")
    if stack in views:
        raise InputError(
            f"the images of {datalist} show the view {stack}, but this pretext learns where {stack} planes cut images of "
            "another view; index the exams again with "
            f"`planewise index FOLDER --view {'sax' if stack == '4ch' else '4ch'}`"
        )
    items = content.get("training") or []
    known = {view for item in items if isinstance(item, dict) for view in item.get("planes") or ()}
    absent = [view for view in views if view not in known]
    if items and not known:
        raise InputError(
            "no training exam has a plane of another view (were the exams indexed with --anatomy any, or do they have only "
            "the stack?); index exams that have other views, or choose a pretext that needs none, such as location"
        )
    if absent and items:
        raise InputError(
            f"no training exam has the view {', '.join(absent)} (the exams have {', '.join(sorted(known))}); name "
            "other views with --views"
        )


def _check_locations(datalist: str | Path) -> None:
    items = read_datalist(datalist).get("training") or []
    if items and not any(isinstance(item, dict) and "location" in item for item in items):
        raise InputError(
            "no training slice has a location (`planewise index` gives the reason for each exam; whole volumes never have "
            "locations); choose a pretext that needs no locations, or index other exams"
        )
