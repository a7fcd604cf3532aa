"""The settings of a run in a bundle's configs: what a package and a release take from the run that made the weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from inspect import signature
from pydoc import locate
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from planewise.engines.run_record import RunRecord
from planewise.engines.weights_settings import (
    as_before,
    channels_of,
    defining_settings,
    differ,
    holds_code,
    inference_of,
    measured_settings,
    plain,
    references,
)
from planewise.errors import InputError
from planewise.not_computed import NOT_COMPUTED

#: Keys of a training config that no setting can replace. If a run has another value, it does not belong to the bundle.
_OWN = ("preprocessing", "targets")


def settings_of(run: RunRecord, train: Mapping[str, Any], inference: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The changes to a bundle's configs that are needed to use the weights of a run (`inference_of`).

    The run may be another person's, so it is treated as data: anything that MONAI would evaluate is refused unless it is
    also in the bundle's own configs.

    Args:
        run: the run that wrote the weights.
        train, inference: the contents of the bundle's configs.

    Returns:
        The changed values only: ``{"train.yaml": {key: value}, "inference.yaml": {key: value}}``.

    Raises:
        InputError: the run does not belong to this bundle, or contains code that is not in the bundle's configs.
    """
    train, inference = plain(train), plain(inference)
    own, wanted = as_before(train, run), defining_settings(inference)
    # a run with a custom network must still have all other keys; a run of another bundle lacks some of them
    same_network = run.config.get("network_def") == own.get("network_def")
    required = wanted if same_network else own.keys() - NOT_COMPUTED - {"initialize"}
    unlike = sorted(key for key in required if key in own and key not in run.config)
    parts = train.get("train", {}), run.config.get("train") or {}
    unlike += [f"train#{key}" for key in _OWN if not _make_the_same(*(part.get(key) for part in parts))]
    if unlike:
        commit = run.record.get("commit")
        raise InputError(
            f"{run.folder} is {f'a run of {run.bundle_name}, not' if run.bundle_name else 'not a run'} of this bundle as it "
            f"is now: it has no or another {', '.join(unlike[:5])}; name another run with --weights, write the run's own "
            "values into the configs of a copy of the bundle and name the copy, or use the code that made this run"
            f"{f' (commit {commit})' if commit else ''}"
        )
    content = inference_of(run, train, inference)
    taken = sorted((wanted if same_network else {*wanted, "network_def"}) & train.keys())
    changed = {
        "train.yaml": {
            key: run.config[key] for key in taken if differ(own.get(key), run.config.get(key, own.get(key)))
        },
        "inference.yaml": {key: content[key] for key in taken if differ(inference.get(key), content.get(key))},
    }
    changed["inference.yaml"] |= measured_settings(run.record, inference)
    for file, config in (("train.yaml", train), ("inference.yaml", inference)):
        channels = channels_of(run, config)
        if channels != config.get("channels", run.channels):
            changed[file]["channels"] = channels
    new = [(key, value) for settings in changed.values() for key, value in settings.items()]
    code = {key for key, value in new if holds_code(value) and value not in (train.get(key), inference.get(key))}
    if code:
        raise InputError(
            f"the run {run.folder} has another {' and another '.join(sorted(code))}, which MONAI would evaluate, but the "
            f"configuration of a run is only read as data. If you trust it, copy the bundle's folder, write "
            "the run's value into configs/train.yaml and configs/inference.yaml of the copy, and name the copy"
        )
    return changed


def asked_of_overlay(config: Mapping[str, Any], overlay: Mapping[str, Any]) -> set[str]:
    """The top-level keys of an overlay that a config needs.

    A config needs a key if it contains the key, if its network, input or output depends on the key, or if a part that
    the overlay replaces refers to the key (as ``dataset`` refers to ``channels``).
    """
    changed, content = {key.partition("#")[0] for key in overlay}, merged(config, overlay)
    found = changed & (set(config) | defining_settings(content) | {"network_def"})
    return found | changed & references([content[key] for key in found])


def overlay_of(
    overlays: Mapping[str, Mapping[str, Any]], train: Mapping[str, Any], run: Mapping[str, Any]
) -> str | None:
    """The name of the overlay with which the training config has the same network as a run; None if there is none. If several
    overlays fit, it is the one with most of the run's other settings."""
    fitting = [
        name
        for name, content in overlays.items()
        if any(key.partition("#")[0] == "network_def" for key in content)
        and plain(merged(train, content))["network_def"] == run.get("network_def")
    ]
    return max(
        fitting, key=lambda name: sum(run.get(key) == value for key, value in overlays[name].items()), default=None
    )


def merged(config: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Merge an overlay into a config as MONAI does: ``network_def#encoder`` replaces an entry of ``network_def``. Entries of
    parts that the config lacks are left out, such as those of ``train`` in an inference config."""
    parser = ConfigParser(copy.deepcopy(dict(config)))
    for key, value in overlay.items():
        if key.lstrip("+").rpartition("#")[0] in parser:
            merge_kv(parser, key, copy.deepcopy(value))
    return parser.get()


def _make_the_same(own: Any, other: Any) -> bool:
    """Whether two parts of a config are equal, if arguments with their default values are left out."""
    defaults = _defaults(own)
    return _without(own, defaults) == _without(other, defaults)


def _defaults(own: Any) -> dict[str, dict[str, Any]]:
    """Map each class that a bundle's own config names to the default values of its arguments.

    Names from another person's config are never looked up.
    """
    if isinstance(own, list):
        return {name: given for entry in own for name, given in _defaults(entry).items()}
    if not isinstance(own, Mapping):
        return {}
    found = {name: given for entry in own.values() for name, given in _defaults(entry).items()}
    made = locate(own["_target_"]) if "." in str(own.get("_target_", "")) else None
    if isinstance(made, type):
        found[own["_target_"]] = {name: given.default for name, given in signature(made).parameters.items()}
    return found


def _without(value: Any, defaults: Mapping[str, Mapping[str, Any]]) -> Any:
    """A part of a config without the arguments that equal their defaults."""
    if isinstance(value, list):
        return [_without(entry, defaults) for entry in value]
    if not isinstance(value, Mapping):
        return value
    known = defaults.get(str(value.get("_target_")), {})
    return {key: _without(entry, defaults) for key, entry in value.items() if key not in known or known[key] != entry}
