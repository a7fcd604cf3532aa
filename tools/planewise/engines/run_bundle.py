"""Write a run's bundle next to its weights, and take the settings of weights from it."""

from __future__ import annotations

import copy
import logging
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser

from planewise.engines.run_record import (
    BUNDLE,
    MEASURED,
    PARTS_OF_INFERENCE,
    RunRecord,
    defining_settings,
    differ,
    holds_code,
    in_our_names,
    inference_of,
    measured_settings,
    own_code,
    plain,
    reached,
    settings_of_part,
)
from planewise.errors import InputError
from planewise.files.atomic_write import atomic_write
from planewise.files.datalists import channels_in
from planewise.files.text import read_yaml
from planewise.networks.pretrained import NO_WEIGHTS, weights_path
from planewise.settings import FILES, NOT_COMPUTED

logger = logging.getLogger(__name__)

_NETWORK = "network_def"
#: Settings that only matter for the start of training or for training with another task; evaluations ignore them.
_OF_TRAINING = ("transfer", "auxiliary_interval", "pretext_settings")


def write_bundle(folder: Path, config: Mapping[str, Any], record: Mapping[str, Any], root: Path) -> None:
    """Write ``FOLDER/bundle/configs``: a run's configuration, including overrides, as ``train.yaml``, and the
    ``inference.yaml`` and ``metadata.json`` of its bundle in ``root``, with the run's settings."""
    place, own = folder / BUNDLE / "configs", root / "configs"
    place.mkdir(parents=True, exist_ok=True)
    contents = {"train": dict(config)}
    if (own / "train.yaml").is_file() and (own / "inference.yaml").is_file():
        run = RunRecord(folder, folder / "models" / "model.pt", plain(config), dict(record))
        train, inference = (plain(read_yaml(own / f"{name}.yaml")) for name in ("train", "inference"))
        contents["inference"] = inference_of(run, train, inference)
    for name, content in contents.items():
        with atomic_write(place / f"{name}.yaml") as part:
            part.write_text(yaml.safe_dump(content, sort_keys=False, width=120))
    if (own / "metadata.json").is_file():
        shutil.copyfile(own / "metadata.json", place / "metadata.json")


def bundle_root(parser: ConfigParser) -> Path:
    """The folder of a config's bundle, which an expression may give, as in a package."""
    return Path(str(parser.get_parsed_content("bundle_root", default="."))).expanduser()


def own_configs(parser: ConfigParser) -> dict[str, dict[str, Any]]:
    """Map the name of each config of the running bundle to the contents of its file; empty if the bundle is incomplete."""
    configs = {}
    for path in sorted((bundle_root(parser) / "configs").glob("*.yaml")):
        try:
            file = path.stat()
            content = _content((path.absolute(), file.st_mtime_ns, file.st_size))
        except (InputError, OSError):
            continue
        if isinstance(content, dict):
            configs[path.stem] = in_our_names(plain(content))
    return configs if {"train", "inference"} <= configs.keys() else {}


@lru_cache(maxsize=256)
def _content(version: tuple[Path, int, int]) -> Any:
    """The content of a YAML file (path, time of the last change, size): an archive's exams share their bundles."""
    return read_yaml(version[0])


def run_of(path: Any) -> RunRecord | None:
    """The run that wrote the weights at a path, which may be the folder of a run or a bundle; None if it is unknown."""
    if not isinstance(path, (str, Path)) or path in NO_WEIGHTS:
        return None
    file = Path(path).expanduser()
    file = file / "models" / "model.pt" if file.is_dir() else file
    return RunRecord.of_weights(file) or _of_package(file) if file.is_file() else None


def _of_package(weights: Path) -> RunRecord | None:
    """The run whose settings are in the configs of the unpacked package that holds a weights file; None if none does."""
    folder = weights.absolute().parent.parent
    configs = own_configs(ConfigParser({"bundle_root": str(folder)})) if own_code(folder) is not None else {}
    if not configs:
        return None
    inference = configs["inference"]
    measured = {key: inference[key] for key in measured_settings({}, inference)}
    return RunRecord(folder, weights, configs["train"], {"channels": inference.get("channels"), MEASURED: measured})


def follow_weights(parser: ConfigParser) -> dict[str, Any]:
    """Apply the settings of the run that trained the ``weights`` to a config for evaluation or inference.

    For inference, these are the network and the settings on which the network, its input or its output depend; for
    evaluation, all settings that the run changed, except files and devices. A run's configuration is read as data: code in
    it is used only if the bundle's files or the running config contain it, too. Settings that differ from the bundle's files
    were set by the user, and take precedence. Returns the changed settings; the parser's cached objects are dropped.

    Raises:
        InputError: the run's configuration is broken or contains other code, or the run learned from other channels.
    """
    own, now = own_configs(parser), in_our_names(plain(parser.get()))
    evaluates = "train" in now
    base = {**own.get("train", {}), **own.get("evaluate", {})} if evaluates else own.get("inference", {})
    run = run_of(parser.get_parsed_content("weights", default=None))
    # the configs of a package have the settings of its own weights already, and a user may have edited them
    if run is None or run.folder.resolve() == bundle_root(parser).resolve():
        # values measured with the bundle's own weights do not apply to weights of unknown origin
        given = Path(str(parser.get_parsed_content("weights", default=""))).expanduser().resolve()
        model = (bundle_root(parser) / "models" / "model.pt").resolve()
        unknown = not evaluates and model not in (given, given / "models" / "model.pt")
        return _take(parser, measured_settings({}, base) if unknown else {}, base, "weights")
    _check_channels(run, parser, now, base)
    if evaluates:
        # the network of the run, and its plain settings
        needed = {_NETWORK, *reached(run.config.get(_NETWORK), run.config), *now}
        needed &= run.config.keys() - {*NOT_COMPUTED, *FILES, *_OF_TRAINING}
        code = {key for key in needed - {_NETWORK} if holds_code(run.config[key]) or holds_code(now.get(key))}
        wanted = {key: value for key, value in run.config.items() if key in needed - code}
    else:
        content = inference_of(run, own.get("train", {}), base or now)
        of_run = reached([content.get(key) for key in PARTS_OF_INFERENCE], run.config) - {*NOT_COMPUTED, *FILES}
        needed = defining_settings(content) | of_run | measured_settings(run.record, base).keys()
        wanted = {key: content[key] for key in content if key in {*needed, *PARTS_OF_INFERENCE, "channels"}}
    for key, value in wanted.items():
        if has_other_code(key, value, (*own.values(), now)):
            raise InputError(
                f"the run {run.folder} has code in {key} that the bundle's files lack; name its own config in --config_file"
            )
    return _take(parser, wanted, base, "weights")


def has_other_code(key: str, value: Any, configs: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a top-level part of a config contains code that the same part of no other config has: a target may be harmless
    in one part only."""
    files = (item for file in configs for item in file.items())
    same = [part for name, part in files if re.split("#|::", name.lstrip("+~"))[0] == key]
    return not set(_code_in(same)).issuperset(_code_in(value))


def _code_in(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The parts of a config that MONAI evaluates, looks up or imports."""
    if isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _code_in(str(name))
            yield from _code_in(entry, str(name))
    elif isinstance(value, list):
        for entry in value:
            yield from _code_in(entry, key)
    elif key.startswith("_") or holds_code(value):
        yield key if key.startswith("_") else "", str(value)


def follow_pretrained(parser: ConfigParser) -> dict[str, Any]:
    """Apply the shape of the network of the ``pretrained`` weights to a training config, because they fit no other.

    The shape consists of the plain settings to which the encoder and decoder refer in both configs, such as ``features``.
    The orientation of volumes (``axcodes``) is applied, too. Returns and raises: see `follow_weights`.
    """
    weights = parser.get_parsed_content("pretrained", default=None)
    # before any image is read
    run = None if weights in NO_WEIGHTS else run_of(weights_path(weights))
    if run is None:
        return {}
    now = in_our_names(plain(parser.get()))
    # the number of channels depends on the data: the weights of the first layer are copied (`load_pretrained`)
    shared = _of_backbone(now) & _of_backbone(run.config) - {"in_channels"}
    # an encoder that learned from volumes of one orientation does not recognise them in another
    shared |= {"axcodes"} & now.keys() & run.config.keys()
    wanted = {key: run.config[key] for key in sorted(shared) if not holds_code(run.config[key])}
    return _take(parser, wanted, {}, "pretrained weights")


def _of_backbone(config: Mapping[str, Any]) -> set[str]:
    """The settings to which a config's encoder and decoder refer; empty if the network has no such parts."""
    network = config.get(_NETWORK)
    parts = [network.get(part) for part in ("encoder", "decoder")] if isinstance(network, Mapping) else []
    return settings_of_part(parts, config)


def _take(parser: ConfigParser, wanted: Mapping[str, Any], base: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """Apply and return the wanted settings that the user has not set; ``base`` is the config as in the bundle's files."""
    now = in_our_names(plain(parser.get()))
    # a value of null is applied, too; otherwise the setting's name would be unknown
    new = {key: value for key, value in wanted.items() if key not in now or differ(now[key], value)}
    chosen = {key for key in new if key in now and base and differ(now[key], base.get(key))}
    taken = {key: value for key, value in new.items() if key not in chosen}
    if taken:
        parser.update(copy.deepcopy(taken))  # this also drops its cached objects
        logger.info("settings from the run that trained the %s: %s", weights, ", ".join(sorted(taken)))
    return taken


def _check_channels(run: RunRecord, parser: ConfigParser, now: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    """Refuse images whose channels have another order than those that weights learned from, and warn of other names."""
    named = (str(parser.get_parsed_content(key)) for key in ("datalist", "input") if key in now)
    datalist = next((path for path in named if path.endswith(".json")), "")
    chosen = now.get("channels") if differ(now.get("channels"), base.get("channels")) else None
    given = channels_in(datalist) or chosen
    if not (run.channels and isinstance(given, list) and given):
        return
    ours, theirs = ([str(name).lower() for name in names] for names in (run.channels, given))
    if ours == theirs:
        return
    said = f"these weights learned from the channels {', '.join(ours)}, the images have {', '.join(theirs)}"
    if any(one != other and (one in theirs or other in ours) for one, other in zip(ours, theirs, strict=False)):
        raise InputError(f"{said}; index the images with --channels {','.join(ours)}, or set --channels in this order")
    # data sets name the same contrast differently: t1ce and t1c
    logger.warning("%s; unless they are other names of the same contrasts, the results are wrong", said)
