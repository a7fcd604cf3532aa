"""Which settings of a training run its weights need to be used with."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import yaml

from planewise.engines.not_computed import FILES, NOT_COMPUTED
from planewise.engines.run_record import RunRecord
from planewise.errors import InputError

#: Keys of an inference config that define the network, its input and the use of its output.
_DEFINING = ("network_def", "preprocessing", "postprocessing")
#: The key that makes samples of what is read: `slices` and the classes' key are the weights', which exams are read is not.
_SAMPLES = "dataset"
_READ = (*FILES, "input", "section", "num_exams", "phases", "channels")
#: How each config places ``network_def``: training loads a pretext's weights into it, inference does not.
_PLACED = "network"
#: Keys of a train config that no setting replaces: a run that differs in them is not a run of the bundle.
_OWN = ("preprocessing", "targets")

#: Settings of inference that are facts about weights, known once they are trained: what was measured with them, and what they
#: have learned from. The record of weights that ship holds them under this key, and weights without such a record have none.
MEASURED = "measured"
_MEASURED = ("plane_bounds", "trained_on")

_REFERENCE = re.compile(r"@(\w+)")
#: What MONAI evaluates, looks up or reads from another file.
_CODE = re.compile(r"[$@%]")


def defining_settings(inference: Mapping[str, Any]) -> set[str]:
    """Top-level settings of an inference config that its network, its input or its output depend on."""
    found: set[str] = set()
    samples = [f"@{key}" for key in _references(inference.get(_SAMPLES)) - set(_READ)]
    waiting = [*(inference.get(key) for key in _DEFINING), samples]
    while waiting:
        for key in _references(waiting.pop()) - found:
            if key in inference and key not in NOT_COMPUTED and key not in (*_DEFINING, _PLACED):
                found.add(key)
                waiting.append(inference[key])
    return found


def settings_of(run: RunRecord, train: Mapping[str, Any], inference: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a bundle's configs have to be changed to so that they fit a run's weights.

    Another person's run is data: of its configuration only the settings that `defining_settings` names are taken, as numbers,
    texts, lists and tables of these. What MONAI would evaluate stands in the bundle's own configs or is refused.

    Args:
        run: the run that wrote the weights.
        train, inference: the bundle's configs, as they stand in its files.

    Returns:
        ``{"train.yaml": {key: value}, "inference.yaml": {key: value}}``, without what is as it is.

    Raises:
        InputError: the run is not one of this bundle, or it has code where the bundle has none, or other code.
    """
    train, inference = plain(train), plain(inference)
    wanted = defining_settings(inference)
    network = run.config.get("network_def")
    # a network of one's own is a setting like others; a run of another bundle has another one too, and lacks more
    required = wanted if network == train.get("network_def") else set(train) - NOT_COMPUTED - {"initialize"}
    absent = sorted(key for key in required if key in train and key not in run.config)
    other = [f"train#{key}" for key in _OWN if _in(train, key) != _in(run.config, key)]
    if absent or other:
        what = [f"has no {', '.join(absent[:5])}{' and more' if len(absent) > 5 else ''}"] if absent else []
        what += [f"has another {' and another '.join(other)}"] if other else []
        commit = run.record.get("commit")
        raise InputError(
            f"{run.folder} is not a run of this bundle as it stands: it {' and '.join(what)}; name another run with "
            f"--weights, or package with the code that made this one{f' (commit {commit})' if commit else ''}"
        )
    other_network = {"network_def"} if network != train.get("network_def") else set()
    code = sorted(
        {key for key in wanted if _is_code_of_its_own(run.config.get(key), key, train, inference)} | other_network
    )
    if code:
        raise InputError(
            f"{run.folder / 'config.yaml'} has another {' and another '.join(code)}, which MONAI would evaluate; a run's "
            f"configuration is read as data, and none of it is executed. If you trust it, copy the bundle's folder, write "
            "that into configs/train.yaml and configs/inference.yaml there, and name the copy"
        )
    changed = {
        file: {
            key: run.config[key] for key in sorted(wanted) if key in run.config and config.get(key) != run.config[key]
        }
        for file, config in (("train.yaml", train), ("inference.yaml", inference))
    }
    # a key that train.yaml lacks is a setting of inference alone: the run says nothing of it
    changed["inference.yaml"] = {key: value for key, value in changed["inference.yaml"].items() if key in train}
    changed["inference.yaml"] |= measured_settings(run.record, inference)
    return changed


def measured_settings(record: Mapping[str, Any], inference: Mapping[str, Any]) -> dict[str, Any]:
    """What an inference config has to be changed to in settings that were measured with some weights.

    Args:
        record: of the weights' run; {} if nothing is known of it.
        inference: the bundle's config.

    Raises:
        InputError: the record has code in them.
    """
    measured = record.get(MEASURED, {})
    if not isinstance(measured, Mapping) or holds_code(measured):
        raise InputError("the record of these weights has more than numbers and texts in what was measured with them")
    wanted = {key: measured.get(key) for key in _MEASURED if key in inference}
    return {key: value for key, value in wanted.items() if inference[key] != value}


def _is_code_of_its_own(value: Any, key: str, *bundle: Mapping[str, Any]) -> bool:
    """Whether a run's value of a setting is anything but plain data, and no config of the bundle has it for that setting."""
    return holds_code(value) and not any(config.get(key) == value for config in bundle)


def asked_of_overlay(config: Mapping[str, Any], overlay: Mapping[str, Any]) -> set[str]:
    """Top-level keys of an overlay that a config has, that its network, its input or its output depend on, or that what is
    replaced refers to (``dataset`` to ``channels``)."""
    changed, content = {key.partition("#")[0] for key in overlay}, merged(config, overlay)
    found = changed & (set(config) | defining_settings(content) | {"network_def"})
    return found | changed & set().union(*(_references(content[key]) for key in found))


def holds_code(value: Any) -> bool:
    """Whether MONAI could make more of a part of a config than numbers, texts, lists and tables.

    So it can with a text that has ``$``, ``@`` or ``%`` in it, and with a table that has a key like ``_target_``, or one with
    such a sign.
    """
    if isinstance(value, Mapping):
        keys = [str(key) for key in value]
        return any(key.startswith("_") or holds_code(key) for key in keys) or any(map(holds_code, value.values()))
    if isinstance(value, list):
        return any(map(holds_code, value))
    if isinstance(value, str):
        return _CODE.search(value) is not None
    # dates and bytes, which YAML has and JSON has not
    return not (value is None or isinstance(value, (bool, int, float)))


def _in(config: Mapping[str, Any], key: str) -> Any:
    part = config.get("train", {})
    return part.get(key) if isinstance(part, Mapping) else None


def _references(value: Any) -> set[str]:
    """Top-level keys that a part of a config refers to: ``@train#dataset`` refers to ``train``."""
    if isinstance(value, Mapping):
        return set().union(*map(_references, value.values()))
    if isinstance(value, list):
        return set().union(*map(_references, value))
    return set(_REFERENCE.findall(value)) if isinstance(value, str) else set()


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config as a run writes it into its own: through YAML, with keys that are text."""
    return yaml.safe_load(yaml.safe_dump(with_text_keys(config)))


def with_text_keys(value: Any) -> Any:
    """A config, or a part of it, whose keys are text at every depth. From YAML, it is then as `plain` would make it."""
    if isinstance(value, Mapping):
        return {str(key): with_text_keys(entry) for key, entry in value.items()}
    return [with_text_keys(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def merged(config: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """A config with an overlay on top, as MONAI reads the two: ``network_def#encoder`` is an entry of ``network_def``."""
    merged = copy.deepcopy(dict(config))
    for key, value in overlay.items():
        *above, last = key.split("#")
        place = merged
        for name in above:
            place = place[name]
        place[last] = copy.deepcopy(value)
    return merged
