"""Find overrides, and keys of config files, that match nothing in a config: MONAI accepts a misspelt ``--sigmaa 3`` without a
warning."""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from pydoc import ErrorDuringImport, locate
from typing import Any

import monai.bundle
import yaml
from monai.bundle import ConfigParser, update_kwargs
from monai.bundle.config_item import ConfigComponent
from monai.bundle.utils import merge_kv

from planewise.errors import InputError
from planewise.exams.words import did_you_mean, nearest
from planewise.not_computed import FILES, NOT_COMPUTED

logger = logging.getLogger(__name__)

#: Options of `python -m monai.bundle run` itself.
_OPTIONS = frozenset(inspect.signature(monai.bundle.run).parameters) | {"args_file"}

#: The first name of a reference in an expression, ``@train#trainer``, or of a macro, ``%train#trainer``.
_REFERENCE = re.compile(r"[@%](?:#|::)*(\w+)")
_MACRO = re.compile(r"%(?:#|::)*(\w+)")
#: A bundle's configs that stand alone, or that every training has.
_OF_A_BUNDLE = ("train.yaml", "evaluate.yaml", "inference.yaml")
#: The overlay that comes last, because it changes what others may set.
_LAST = "multi_gpu_train.yaml"
#: A key of every config that stands alone, and of no overlay.
_STANDS_ALONE = "bundle_root"
#: Keys of config files that are there for YAML's anchors: ``x-sizes: &sizes [16, 32]``, then ``features: *sizes``.
_OF_ANCHORS = ("x-", ".")


def overrides(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options of a command line, ``--name value`` or ``--name=value``, with their values as written."""
    for position, argument in enumerate(arguments):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            yield name, value if equals else next(iter(arguments[position + 1 :]), "")


def with_args_file(arguments: Sequence[str]) -> list[str]:
    """A command line with the options of its ``--args_file``, which MONAI applies unless the command line has them, too."""
    given = dict(overrides(arguments))
    options: Any = {}
    with suppress(OSError, ValueError):  # MONAI has read the file, unless the option is another program's
        options = update_kwargs(given.get("args_file") or None)
    return [
        *arguments,
        *(
            f"--{name}={value if isinstance(value, str) else json.dumps(value, default=str)}"
            for name, value in options.items()
            if name not in given
        ),
    ]


def config_files(arguments: Sequence[str]) -> list[str]:
    """The files that ``--config_file`` names on a command line, as MONAI reads it; empty if it was not given."""
    text = dict(overrides(arguments)).get("config_file")
    files = [] if text is None else yaml.safe_load(text)
    return files if isinstance(files, list) else str(files).split(",")


def with_small_version(files: Sequence[str]) -> list[str]:
    """The config files of a run, and the overlay that makes its network and images small: ``demo.yaml``, or
    ``knee_demo.yaml`` after ``knee.yaml``.

    Args:
        files: the files of the run.

    Returns:
        The files in their order, with ``multi_gpu_train.yaml`` last; empty if the bundle has no such overlay, or if it is in
        use.
    """
    if not files or any(file.endswith("demo.yaml") for file in files):
        return []
    names = [f"{Path(file).stem}_demo.yaml" for file in files] + ["demo.yaml"]
    found = [place for name in names if (place := Path(files[0]).with_name(name)).is_file()]
    return sorted([*files, str(found[0])], key=lambda file: file.endswith(_LAST)) if found else []


def refuse_idle_run(arguments: Sequence[str], known: Mapping[str, Any]) -> None:
    """Refuse a ``--run_id`` that does not name a list of expressions: MONAI would only create the objects that it
    names, and the run would end without a result and without an error.

    Args:
        arguments: as for `warn_of_unknown_overrides`.
        known: the config.

    Raises:
        InputError: the run would do nothing.
    """
    name = dict(overrides(arguments)).get("run_id")
    if name is None or name not in known or _runs(known[name]):
        return
    others = [key for key, value in known.items() if _runs(value) and key not in ("imports", "initialize", "finalize")]
    raise InputError(
        f"--run_id {name} is a part of the config that runs nothing; choose {' or '.join(others)} (default: run)"
    )


def refuse_overlay_first(arguments: Sequence[str]) -> None:
    """Refuse an overlay before the config that it changes: the later file takes precedence, so the overlay would do nothing.

    Args:
        arguments: as for `warn_of_unknown_overrides`.

    Raises:
        InputError: the first file does not stand alone, and a later one does.
    """
    files = config_files(arguments)
    whole = next((file for file in files if _STANDS_ALONE in ConfigParser.load_config_file(file)), None)
    if whole is not None and whole != files[0]:
        right = ",".join(map(repr, dict.fromkeys([whole, *files])))
        raise InputError(
            f"{whole} comes after {files[0]} and would replace its settings, because later files take precedence; name "
            f'{whole} first: --config_file "[{right}]"'
        )


def _runs(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(str(entry).startswith("$") for entry in value)


def warn_of_unknown_overrides(arguments: Sequence[str]) -> list[str]:
    """Warn about names on the command line that match no key of the config, and about keys of its files that nothing uses.

    Args:
        arguments: the command line of ``python -m monai.bundle run``; without ``--config_file`` nothing is checked.

    Returns:
        The unknown names; each is also logged as a warning, with the nearest known name.
    """
    files = config_files(arguments)
    if not files:
        return []
    config = ConfigParser.load_config_files(files)
    unknown = unknown_overrides(arguments, config)
    for name, near in unknown.items():
        hint = did_you_mean(near and f"--{near}")
        logger.warning("--%s %s%s", name, _fate(name, _with_targets(arguments, config)), hint)
    names = list(unknown)
    for file, found in unused_keys(files, dict(overrides(arguments))).items():
        for name, near in found.items():
            logger.warning("%s: %s %s%s", file, name, _fate(name, config), did_you_mean(near))
        names += found
    return names


def _fate(name: str, config: Mapping[str, Any]) -> str:
    """What becomes of an unknown setting: MONAI passes it on if its place has a ``_target_``."""
    place, _ = walk(config, path_of(name)[:-1])
    target = place.get("_target_") if isinstance(place, Mapping) else None
    if target:
        return f"is passed on to {target}, which has no such argument"
    return "is not a setting of this config and has no effect"


def warn_of_unknown_settings(now: Mapping[str, Any], configs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Warn about settings of a config that was started from Python (``create_workflow(..., max_epoch=1)``), if no config of
    the bundle has them and no expression refers to them.

    Args:
        now: the running config, with all its files and overrides.
        configs: contents of the bundle's configs.

    Returns:
        The names of these settings.
    """
    known = {path_of(key)[0] for content in configs.values() for key in content}
    own = known.union(_REFERENCE.findall(str(now)), (ConfigParser.meta_key,))
    unknown = [key for key, value in now.items() if not (key in own or key.startswith(_OF_ANCHORS) or _runs(value))]
    for name in unknown:
        logger.warning("%s %s%s", name, _fate(name, now), did_you_mean(nearest(name, known)))
    return unknown


def warn_of_idle_overrides(arguments: Sequence[str], now: Mapping[str, Any]) -> list[str]:
    """Warn about settings on the command line, or in config files outside the bundle, that only the replaced parts of a
    config used: ``--learning_rate`` with a file whose optimizer has a rate of its own.

    Args:
        arguments: as for `warn_of_unknown_overrides`.
        now: the running config, with all its files and overrides.

    Returns:
        The names of these settings. A setting that the code reads from the config is never one of them.
    """
    files = [Path(file) for file in config_files(arguments)]
    loaded = [ConfigParser.load_config_file(file) for file in files]
    contents = list(map(str, loaded))
    own = {
        name
        for file, content in zip(files, contents, strict=True)
        if file.name in _OF_A_BUNDLE
        for name in _REFERENCE.findall(content)
    }
    # MONAI has replaced the macros in the running config
    used = set(_REFERENCE.findall(str(now))).union(*map(_MACRO.findall, contents))
    read = {*NOT_COMPUTED, *FILES, "weights", "tf32"}
    # the bundle's own overlays, such as demo.yaml, may set keys that this run does not use
    outside = [(file, keys) for file, keys in zip(files, loaded, strict=True) if file.parent != files[0].parent]
    given = {name: f"{file}: {name}" for file, keys in outside for name in keys}
    given |= {name: f"--{name}" for name, _ in overrides(arguments)}
    idle = [name for name in given if name in now and name in own - used - read]
    for name in idle:
        logger.warning("%s has no effect: no expression of these configs uses it", given[name])
    return idle


def unknown_overrides(arguments: Sequence[str], known: Mapping[str, Any]) -> dict[str, str | None]:
    """Find overrides that match no config key.

    Args:
        arguments: arguments of ``monai.bundle run``: ``["--sigmaa", "3", "--train#trainer#max_epochs", "1"]``.
        known: the config to check against. An entry with a ``_target_`` also has all arguments of the target, even those that
            the config leaves out.

    Returns:
        Maps each unknown name to the nearest known name, or to None.
    """
    unknown = {}
    known = _with_targets(arguments, known)
    for name, _ in overrides(arguments):
        path = path_of(name)
        if path[0] in _OPTIONS or path[0].startswith("_meta_"):
            continue
        place, missing = walk(known, path)
        taken = _taken_by(place) if missing else None
        if taken is not None and missing[0] not in taken:
            near = nearest(missing[0], [*_keys_of(place), *taken])
            unknown[name] = "#".join([*path[: -len(missing)], near]) if near else None
    return unknown


def unused_keys(
    files: Sequence[str | Path], given: Mapping[str, str] | None = None
) -> dict[str, dict[str, str | None]]:
    """Find keys of config files that have no effect: no earlier file has them, and no expression refers to them.

    A file may add keys for expressions of its own (``@gamma`` or ``%gamma``), lists of expressions to run, entries of a table
    without targets, and keys for YAML's anchors, which begin with ``x-`` or ``.``.

    Args:
        files: the files of ``--config_file``, in order. The first one is a bundle's; its neighbours ``train.yaml``,
            ``evaluate.yaml`` and ``inference.yaml`` are not read for a run, but their keys are spelt correctly, too.
        given: the options of the command line, as texts. Their expressions may refer to keys of the files, too.

    Returns:
        Maps each file with such keys to these keys, and each key to the nearest known name, or to None.
    """
    first, *later = map(str, files)
    if all(Path(file).name in _OF_A_BUNDLE for file in later):
        return {}
    contents = {file: ConfigParser.load_config_file(file) for file in (first, *later)}
    neighbours = [Path(first).with_name(name) for name in _OF_A_BUNDLE]
    known = {key: None for file in neighbours if file.is_file() for key in ConfigParser.load_config_file(str(file))}
    named = {name for content in (*contents.values(), dict(given or {})) for name in _REFERENCE.findall(str(content))}
    # a target acts on the arguments next to it, in any order
    every = [*(pair for file in later for pair in contents[file].items()), *(given or {}).items()]
    targets = [f"--{name}={value}" for name, value in every if path_of(name)[-1] == "_target_"]
    parser = ConfigParser(known | contents[first])
    known = parser.get()
    unused: dict[str, dict[str, str | None]] = {}
    for file in later:
        # a path is judged by the config so far, which MONAI would extend without a word
        own = named - known.keys()
        for key, value in contents[file].items():
            top = path_of(key)[0]
            if not (
                top in own or key.startswith(_OF_ANCHORS) or _runs(value) or (key != top and _is_table(known.get(top)))
            ):
                found = unknown_overrides([f"--{key}=", *targets], known)
                if key in found:
                    unused.setdefault(file, {})[key] = found[key]
            with suppress(LookupError, TypeError, ValueError):  # MONAI ends with an error
                merge_kv(parser, key, value)
    return unused


def _is_table(value: Any) -> bool:
    """Whether a config's entry is a mapping of values, such as ``structures``, to which a path may add others."""
    return isinstance(value, Mapping) and "_target_" not in str(value)


def walk(place: Any, path: list[str]) -> tuple[Any, list[str]]:
    """Follow a path into a config as far as its keys exist; return the place that was reached and the rest of the path."""
    for number, key in enumerate(path):
        if key not in _keys_of(place):
            return place, path[number:]
        place = _below(place, key)
    return place, []


def _below(place: Any, key: str) -> Any:
    if isinstance(place, Mapping):
        return next(value for name, value in place.items() if str(name) == key)
    return place[int(key)]


def path_of(name: str) -> list[str]:
    """The keys on the way to an override: ``train#trainer#max_epochs`` is ``["train", "trainer", "max_epochs"]``."""
    return re.split(r"#|::", name.lstrip("+~"))


def _with_targets(arguments: Sequence[str], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config with the overridden ``_target_`` of its entries, because another class takes other arguments."""
    targets = [(path[:-1], value) for name, value in overrides(arguments) if (path := path_of(name))[-1] == "_target_"]
    known = deepcopy(known) if targets else known
    for path, value in targets:
        place, missing = walk(known, path)
        if isinstance(place, dict) and not missing:
            place["_target_"] = value
    return known


def _keys_of(place: Any) -> list[str]:
    if isinstance(place, Mapping):
        return [str(key) for key in place if not str(key).startswith("_")]
    return [str(number) for number in range(len(place))] if isinstance(place, list) else []


def _taken_by(place: Any) -> set[str] | None:
    """The names that a place of a config accepts in addition to its own keys; None if it accepts any name."""
    if not isinstance(place, Mapping) or "_target_" not in place:
        return set()
    target, names = target_of(place), set(ConfigComponent.non_arg_keys)
    try:
        while target is not None:
            parameters = inspect.signature(target).parameters.values()
            names |= {parameter.name for parameter in parameters}
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
                return names
            # our own engines accept further arguments and pass them to their base class
            target = target.__base__ if getattr(target, "__module__", "").startswith(f"{__package__}.") else None
    except (TypeError, ValueError):  # a target without a readable signature
        return None
    return None


def target_of(entry: Any) -> Any:
    """The class or function that an entry of a config names; None if there is none, or it cannot be imported."""
    if not isinstance(entry, Mapping) or "_target_" not in entry:
        return None
    target = ConfigComponent(dict(entry)).resolve_module_name()
    try:
        return locate(target) if isinstance(target, str) else target
    except ErrorDuringImport:
        return None
