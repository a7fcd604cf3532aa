"""Apply the settings that weights were trained with, so that users need not repeat them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from monai.bundle import ConfigParser

from planewise.engines.overrides import overrides
from planewise.engines.run_record import RunRecord, in_our_names, read_table
from planewise.engines.weights_settings import (
    MEASURED,
    asked_of_overlay,
    defining_settings,
    differ,
    holds_code,
    measured_settings,
    merged,
    overlay_of,
    plain,
    settings_of,
    settings_of_part,
)
from planewise.errors import InputError
from planewise.exams.cases import BRATS
from planewise.exams.sections import channels_in
from planewise.not_computed import FILES, NOT_COMPUTED
from planewise.own_names import own_code
from planewise.text_files import read_yaml

logger = logging.getLogger(__name__)

#: Length of the longest table that the log shows in full.
_LONGEST_TABLE = 120

_NETWORK = "network_def"
#: Settings that depend on the data, so they need not match the pretraining: the first layer's weights are copied to any
#: number of channels (`load_pretrained`).
_OF_DATA = {"in_channels"}
#: Settings that only matter for the start of training or for training with another task; evaluations ignore them.
_OF_TRAINING = ("transfer", "auxiliary_interval", "pretext_settings")
#: Settings that describe the files of new images, so they may differ from those of the training. (`_check_channels` checks
#: the channels.)
_OF_FILES = {"channels", "field_without_spacing", "heart_labels"}


def follow_weights(parser: ConfigParser, arguments: Sequence[str]) -> dict[str, Any]:
    """Apply the settings of the run that trained the ``weights`` to a config for evaluation or inference. An unpacked package
    has them in its configs.

    For inference, these are the settings that determine the network, its input or its output (`defining_settings`). If
    the run used one of the bundle's configs for another network (``vit.yaml``, ``knee.yaml``), this config is applied,
    too. For evaluation, they are all settings that the run changed, except files and devices. A run's configuration is
    read as data; anything that MONAI would evaluate comes from the bundle's own files. Settings from the command line or
    an overlay take precedence, and differences are logged.

    Args:
        parser: the parser of the running config. It is updated, and its cached objects are dropped.
        arguments: the command line.

    Returns:
        The changed settings.

    Raises:
        InputError: the run's configuration is broken, or the run learned from the images' channels in another order or from
            other contrasts.
    """
    run_id = dict(overrides(arguments)).get("run_id")
    if run_id and "start_run(" in str(parser.get(run_id)):
        return {}  # train_and_evaluate: the weights in the folder are an earlier run's, and this run trains its own
    configs = configs_beside(parser)
    run = run_of(parser, "weights") or _packaged(parser, "weights")
    if configs is None:
        _check_alone(parser, run)
        return {}
    train, inference = (configs.pop(name) for name in ("train", "inference"))
    if run is None:
        own, default = _are_the_bundles(parser), inference.get("channels")
        # a package's config has the channels of the run; for other weights, only the user knows them
        _check_channels(default if own else parser.get("channels"), parser, default, arguments)
        # the origin of these weights is unknown, so values measured with the bundle's own weights do not apply
        unknown = {} if own or "train" in parser else measured_settings({}, inference)
        package = own and _log_package(Path(parser.get_parsed_content("bundle_root")))
        alone = package and "train" not in parser
        defaults = {key: inference[key] for key in _of_images(inference) & train.keys()} if alone else {}
        return _take(parser, unknown, inference, arguments, "weights", defaults)
    if run.ships:
        logger.info(
            "the weights are those that ship with %s, trained on phantoms", run.weights.resolve().parent.parent.name
        )
    _log_package(run.folder)
    evaluates = "train" in parser
    base = train if evaluates else inference
    _check_channels(run.channels, parser, base.get("channels"), arguments)
    overlay = {}
    if run.config.get(_NETWORK) != train.get(_NETWORK):
        name = overlay_of(configs, train, run.config)
        overlay = configs[name] if name else _named_again(parser, base, run)
    try:
        changes = settings_of(run, merged(train, overlay), merged(inference, overlay))
    except InputError as error:
        logger.warning("the settings of these weights are not applied: %s", error)
        return {}
    wanted = changes["train.yaml"] if evaluates else changes["inference.yaml"]
    if evaluates:
        wanted = _all_settings(run, merged(train, overlay)) | wanted
    if overlay:
        changed = {key.partition("#")[0] for key in overlay} - {"network"}
        asked = asked_of_overlay(inference, overlay)
        if evaluates:
            asked = set(base) | defining_settings(merged(inference, overlay)) | {_NETWORK}
        content = merged(base, overlay)
        wanted = {key: content[key] for key in changed & asked if key in content} | wanted
    needed = _of_images(merged(inference, overlay)) & train.keys() & run.config.keys()
    defaults = {key: run.config[key] for key in needed - wanted.keys()}
    return _take(parser, wanted, base, arguments, "weights", defaults)


def _log_package(folder: Path) -> bool:
    """Whether a folder is an unpacked package; if so, log which data its weights were trained on."""
    if own_code(folder) is None:
        return False
    with suppress(InputError):
        source = read_table(folder / "configs" / "metadata.json").get("data_source")
        logger.info("the weights are those of the package %s: %s", folder.resolve().name, source)
    return True


def _check_channels(learned: Any, parser: ConfigParser, default: Any, arguments: Sequence[str]) -> None:
    """Refuse images whose channels have another order than those that weights learned from, or other contrasts at their
    places, and warn of other names.

    Args:
        learned: names of the channels of the training, in order.
        parser: the parser of the running config.
        default: the value of ``channels`` in the bundle's own config.
        arguments: the command line.
    """
    given, remedy = channels_in(_images(parser)), "index them with --channels {}"
    if not given:
        # without a datalist, the files have the endings that the user gives, or else those of the training
        now = parser.get("channels")
        given = now if "channels" in dict(overrides(arguments)) or now != default else []
        remedy = "set --channels '[{}]', or leave it out"
    if not (isinstance(learned, list) and isinstance(given, list) and learned and given):
        return
    if learned == default and len(learned) != parser.get("in_channels", len(learned)):
        return  # the default's names are of another network
    learned, given = ([str(name).lower() for name in names] for names in (learned, given))
    if learned == given:
        return
    ours, theirs = map(", ".join, (learned, given))
    differ = f"these weights learned from the channels {ours}, but the images have {theirs}, in this order"
    pairs = [pair for pair in zip(learned, given, strict=False) if pair[0] != pair[1]]
    if any(there in given or here in learned or {there, here} <= set(BRATS) for there, here in pairs):
        raise InputError(f"{differ}; {remedy.format(','.join(learned))}")
    # data sets name the same contrast differently: t1ce and t1c
    logger.warning("%s; unless they are other names of the same contrasts, the results are wrong", differ)


def follow_pretrained(parser: ConfigParser, arguments: Sequence[str]) -> dict[str, Any]:
    """Apply the shape of the network of the ``pretrained`` weights to a training config.

    The shape consists of the plain settings to which the encoder and decoder refer in both configs, such as ``features``.
    The orientation of volumes (``axcodes``) is applied, too.
    The number of image channels is left out, because it depends on the data. Image sizes are left out, too, but the log
    says if they differ. These settings replace those of an overlay (``demo.yaml``), because the weights fit no other shape.
    A setting from the command line takes precedence; if the weights do not fit it, an error is raised when they are loaded.

    Args, returns and raises: see `follow_weights`.
    """
    run = run_of(parser, "pretrained") or _packaged(parser, "pretrained")
    configs = configs_beside(parser) if run is not None else None
    if configs is None:
        return {}
    now = in_our_names(plain(parser.get()))
    shared = _of_backbone(now) & _of_backbone(run.config) - _OF_DATA
    # an encoder that learned from volumes of one orientation does not recognise them in another
    shared |= {"axcodes"} & now.keys() & run.config.keys()
    wanted = {key: run.config[key] for key in sorted(shared) if not holds_code(run.config[key])}
    for key in ("spacing", "image_size"):
        here, there = now.get(key), run.config.get(key)
        if here != there and None not in (here, there) and not holds_code([here, there]):
            logger.warning(
                "%s is %s, but the pretrained weights learned with %s; --%s changes it", key, here, there, key
            )
    return _take(parser, wanted, None, arguments, "pretrained")


def configs_beside(parser: ConfigParser) -> dict[str, dict[str, Any]] | None:
    """Map the name of each config of the running bundle to the contents of its file; None if the bundle is incomplete."""
    if "bundle_root" not in parser:
        return None
    folder = Path(parser.get_parsed_content("bundle_root")).expanduser() / "configs"
    configs = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            file = path.stat()
            content = _content((path.absolute(), file.st_mtime_ns, file.st_size))
        except (InputError, OSError):
            continue
        if isinstance(content, dict):
            configs[path.stem] = in_our_names(plain(content))
    return configs if {"train", "inference"} <= configs.keys() else None


@lru_cache(maxsize=256)
def _content(version: tuple[Path, int, int]) -> Any:
    """The content of a YAML file (path, time of the last change, size), which is read again only if it has changed: an
    archive's exams share their bundles."""
    return read_yaml(version[0])


def _check_alone(parser: ConfigParser, run: RunRecord | None) -> None:
    """Refuse settings that differ from those of the run if the bundle is not there to say which of them must be the same."""
    now = in_our_names(plain(parser.get()))
    other = {key for key in defining_settings(now) if run is not None and run.config.get(key, now[key]) != now[key]}
    if other:
        folder = Path(str(parser.get("bundle_root", "."))).absolute()
        raise InputError(
            f"{', '.join(sorted(other))}: the run that trained these weights had other values, which cannot be applied, "
            f"because there is no configs/train.yaml in {folder}; start in the bundle's folder, or name it with --bundle_root"
        )


def run_of(parser: ConfigParser, setting: str) -> RunRecord | None:
    """The run that wrote the weights to which a setting points; None if it is unknown."""
    return run_at(parser.get_parsed_content(setting, default=None))


def run_at(path: Any) -> RunRecord | None:
    """The run that wrote the weights at a path; None if it is unknown."""
    file = _weights_file(path)
    return RunRecord.of_weights(file) if file is not None and file.is_file() else None


def _weights_file(path: Any) -> Path | None:
    """The file of the weights at a path, which may be the folder of a run or a bundle; None if the path names none."""
    if not isinstance(path, (str, Path)) or str(path) in ("", "none"):
        return None
    path = Path(path).expanduser()
    return path / "models" / "model.pt" if path.is_dir() else path


def _packaged(parser: ConfigParser, setting: str) -> RunRecord | None:
    """The run whose settings are in the configs of the unpacked package to whose weights a setting points; None for other
    weights, and for the running bundle itself."""
    file = _weights_file(parser.get_parsed_content(setting, default=None))
    if file is None or not file.is_file():
        return None
    folder = file.absolute().parent.parent
    own = Path(str(parser.get_parsed_content("bundle_root") if "bundle_root" in parser else ".")).expanduser()
    if own_code(folder) is None or folder.resolve() == own.resolve():
        return None
    configs = configs_beside(ConfigParser({"bundle_root": str(folder)}))
    if configs is None:
        return None
    inference = configs["inference"]
    measured = {key: inference[key] for key in measured_settings({}, inference)}
    record = {"channels": inference.get("channels"), MEASURED: measured}
    return RunRecord(folder, folder / "models" / "model.pt", configs["train"], record)


def _images(parser: ConfigParser) -> str:
    """The datalist that a running config names as ``datalist`` or ``input``; empty if there is none."""
    named = (str(parser.get_parsed_content(key)) for key in ("datalist", "input") if key in parser)
    return next((path for path in named if path.endswith(".json")), "")


def _are_the_bundles(parser: ConfigParser) -> bool:
    """Whether the weights of a running config are those in its bundle's folder."""
    given = _weights_file(parser.get_parsed_content("weights", default=None))
    own = Path(parser.get_parsed_content("bundle_root")).expanduser() / "models" / "model.pt"
    return given is not None and given.resolve() == own.resolve()


def _named_again(parser: ConfigParser, base: Mapping[str, Any], run: RunRecord) -> dict[str, Any]:
    """The network of a running config, and the settings that it needs, if it is the network of a run; otherwise empty.

    A user who trained a network of their own also names its config file for evaluation and inference.

    Args:
        parser: the parser of the running config.
        base: the config without overlays.
        run: the run that trained the weights.
    """
    now = in_our_names(plain(parser.get()))
    if now.get(_NETWORK) != run.config.get(_NETWORK):
        return {}
    needed = settings_of_part(now[_NETWORK], now)
    again = {key: now[key] for key in needed if key not in base or now[key] == run.config.get(key) != base[key]}
    return {_NETWORK: now[_NETWORK], **again}


def _of_backbone(config: Mapping[str, Any]) -> set[str]:
    """The settings to which a config's encoder and decoder refer; empty if the network has no such parts."""
    network = config.get(_NETWORK)
    parts = [network.get(part) for part in ("encoder", "decoder")] if isinstance(network, Mapping) else []
    return settings_of_part(parts, config)


def _all_settings(run: RunRecord, train: Mapping[str, Any]) -> dict[str, Any]:
    """A run's changes to a training config, as data. Code, files and devices are left out."""
    return {
        key: value
        for key, value in run.config.items()
        if key in train
        and key not in NOT_COMPUTED
        and key not in (*FILES, *_OF_TRAINING)
        and differ(value, train[key])
        and not holds_code(value)
        and not holds_code(train[key])
    }


def _of_images(inference: Mapping[str, Any]) -> set[str]:
    """The settings of an inference config that determine the network, its input or its output, except `_OF_FILES`."""
    return defining_settings(inference) - _OF_FILES


def _take(
    parser: ConfigParser,
    wanted: Mapping[str, Any],
    base: Mapping[str, Any] | None,
    arguments: Sequence[str],
    whose: str,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Apply the settings that the user has not set, and log both the applied settings and the differences.

    Args:
        parser: the parser of the running config.
        wanted: the settings of the run.
        base: the config without overlays, which shows what an overlay has set. None allows settings from an overlay to
            be replaced.
        arguments: the command line.
        whose: name of the setting that gives the weights, ``weights`` or ``pretrained``, for the log.
        defaults: settings in which the run did not differ from its bundle. They are not applied; if this config differs from
            them, the difference is logged.

    Returns:
        The applied settings.
    """
    weights = "weights" if whose == "weights" else f"{whose} weights"
    now = in_our_names(plain(parser.get()))
    named = {name for name, _ in overrides(arguments)}
    set_by_overlay = {key for key in wanted if base is not None and key in now and differ(now[key], base.get(key))}
    chosen = (named & wanted.keys()) | set_by_overlay
    of_run = {key: wanted[key] for key in chosen} | {key: value for key, value in defaults.items() if key in now}
    for key, value in sorted(of_run.items()):
        if differ(now.get(key), value):
            logger.warning(
                "%s is %s, but the run that trained the %s had %s", key, _short(now.get(key)), weights, _short(value)
            )
    # a value of null is applied, too; otherwise the setting's name would be unknown
    new = {key: value for key, value in wanted.items() if key not in now or differ(now[key], value)}
    taken = {key: value for key, value in new.items() if key not in chosen}
    if taken:
        parser.update(taken)  # this also drops its cached objects
        told = ", ".join(f"{key} {_short(value)}" for key, value in sorted(taken.items()))
        logger.info("settings from the run that trained the %s: %s", weights, told)
    return taken


def _short(value: Any) -> str:
    return "(a table)" if isinstance(value, Mapping) and len(str(value)) > _LONGEST_TABLE else str(value)
