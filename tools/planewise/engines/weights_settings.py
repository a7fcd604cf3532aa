"""Find the training settings of a run that are needed to use its weights."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from inspect import signature
from pydoc import locate
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from planewise.engines.references import reached, references
from planewise.engines.run_record import RunRecord
from planewise.errors import InputError
from planewise.not_computed import FILES, NOT_COMPUTED

#: Keys of an inference config that define the network, its input, how it is called, and the use of its output.
DEFINING = ("network_def", "preprocessing", "inferer", "postprocessing")
#: The parts of an inference config that an overlay such as ``photograph.yaml`` replaces.
PARTS_OF_INFERENCE = (*DEFINING, "dataset")
#: Settings to which these keys refer, but which affect only the speed and the precision of inference. Inference keeps its own
#: values.
_OF_INFERENCE = ("amp", "batch_size")
#: Key of the part that makes samples from items. Its settings ``slices`` and ``class_key`` belong to the weights; settings
#: that select exams do not.
_SAMPLES = "dataset"
_READ = (*FILES, "input", "section", "num_exams", "phases", "channels")
#: The key under which a config builds ``network_def``. It differs between configs: training loads a pretext's weights
#: into the network, and inference does not.
_PLACED = "network"
#: Keys of a training config that no setting can replace. If a run has another value, it does not belong to the bundle.
_OWN = ("preprocessing", "targets")

#: A key in the record of weights that ship with a bundle. It contains the inference settings that are known only after
#: training: values measured with the weights, and a description of their training data. Other weights lack them.
MEASURED = "measured"
_MEASURED = ("plane_bounds", "joint_bounds", "trained_on")

#: Characters that mark text which MONAI evaluates, looks up or reads from another file.
_CODE = re.compile(r"[$@%]")


def defining_settings(inference: Mapping[str, Any]) -> set[str]:
    """Top-level settings on which the network, the input or the output of an inference config depends, without those that
    affect only its speed."""
    samples = references(inference.get(_SAMPLES)) - set(_READ)
    return settings_of_part([*(inference.get(key) for key in DEFINING), *(f"@{key}" for key in samples)], inference)


def settings_of_part(part: Any, config: Mapping[str, Any]) -> set[str]:
    """Top-level settings on which a part of a config depends, without those that affect only the speed of inference."""
    left_out = {*NOT_COMPUTED, *DEFINING, *_OF_INFERENCE, _PLACED}
    return reached(part, {key: value for key, value in config.items() if key not in left_out})


def inference_of(run: RunRecord, train: Mapping[str, Any], inference: Mapping[str, Any]) -> dict[str, Any]:
    """A bundle's inference config with the run's settings on which the network, its input and its output depend, and with
    the parts that an overlay of the run replaced (``network_def``, and ``preprocessing`` or ``dataset`` of inference).
    """
    own = _as_before(train, run)
    changed = [key for key in PARTS_OF_INFERENCE if key in run.config and run.config[key] != own.get(key)]
    content = {**inference, **{key: run.config[key] for key in changed}}
    parts = [content.get(key) for key in PARTS_OF_INFERENCE]
    needed = reached(parts, run.config) - content.keys() - {"train", *NOT_COMPUTED, *FILES}
    content |= {key: run.config[key] for key in needed}
    content |= {key: run.config[key] for key in defining_settings(content) if key in run.config}
    if "channels" in content and "channels" not in needed:
        content["channels"] = _channels_of(run, content)
    return content | measured_settings(run.record, inference)


def _as_before(train: Mapping[str, Any], run: RunRecord) -> dict[str, Any]:
    """A training config without the settings that are newer than a run, if their value is null, which keeps the behaviour
    from before they existed."""
    later = {f"@{key}" for key, value in train.items() if value is None and key not in run.config}
    own = {key: value for key, value in train.items() if f"@{key}" not in later}
    if isinstance(network := own.get("network_def"), Mapping):
        own["network_def"] = {key: value for key, value in network.items() if str(value) not in later}
    return own


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
    own, wanted = _as_before(train, run), defining_settings(inference)
    # a run with a custom network must still have all other keys; a run of another bundle lacks some of them
    same_network = run.config.get("network_def") == own.get("network_def")
    required = wanted if same_network else own.keys() - NOT_COMPUTED - {"initialize"}
    unlike = sorted(key for key in required if key in own and key not in run.config)
    unlike += [f"train#{key}" for key in _OWN if not make_the_same(_in(train, key), _in(run.config, key))]
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
        channels = _channels_of(run, config)
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


def _channels_of(run: RunRecord, config: Mapping[str, Any]) -> Any:
    """The channels of a bundle's config for the weights of a run; those in the run's config are for MONAI Label. If the run
    recorded none, and the bundle's names are not as many as the network's channels, each of its cases was a single file.
    """
    own = config.get("channels", run.channels)
    return run.channels or ([] if own and run.config.get("in_channels") != len(own) else own)


def measured_settings(record: Mapping[str, Any], inference: Mapping[str, Any]) -> dict[str, Any]:
    """The changes to an inference config that come from values measured with the weights.

    Args:
        record: record of the run that trained the weights; {} if it is unknown.
        inference: the bundle's inference config.

    Raises:
        InputError: the record contains code.
    """
    measured = record.get(MEASURED, {})
    if not isinstance(measured, Mapping) or holds_code(measured):
        raise InputError("the measured settings in the record of these weights must be numbers and text only")
    wanted = {key: measured.get(key) for key in _MEASURED if key in inference}
    return {key: value for key, value in wanted.items() if inference[key] != value}


def asked_of_overlay(config: Mapping[str, Any], overlay: Mapping[str, Any]) -> set[str]:
    """The top-level keys of an overlay that a config needs.

    A config needs a key if it contains the key, if its network, input or output depends on the key, or if a part that
    the overlay replaces refers to the key (as ``dataset`` refers to ``channels``).
    """
    changed, content = {key.partition("#")[0] for key in overlay}, merged(config, overlay)
    found = changed & (set(config) | defining_settings(content) | {"network_def"})
    return found | changed & references([content[key] for key in found])


def holds_code(value: Any) -> bool:
    """Whether MONAI could interpret a part of a config as more than numbers, text, lists and tables.

    It does so for text with ``$``, ``@`` or ``%``, and for a table with a key that contains one of these characters or
    begins with an underscore, like ``_target_``.
    """
    if isinstance(value, Mapping):
        keys = [str(key) for key in value]
        return any(key.startswith("_") or holds_code(key) for key in keys) or any(map(holds_code, value.values()))
    if isinstance(value, list):
        return any(map(holds_code, value))
    if isinstance(value, str):
        return _CODE.search(value) is not None
    # YAML also has dates and bytes
    return not (value is None or isinstance(value, (bool, int, float)))


def _in(config: Mapping[str, Any], key: str) -> Any:
    part = config.get("train", {})
    return part.get(key) if isinstance(part, Mapping) else None


def make_the_same(own: Any, other: Any) -> bool:
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


def differ(one: Any, other: Any) -> bool:
    """Whether two values of a setting differ. The order of a table counts, because that of ``structures`` is that of the
    network's outputs."""
    return one != other or (isinstance(one, Mapping) and list(one) != list(other))


def plain(value: Any) -> Any:
    """Convert a config, or a part of it, to the form that a run writes as YAML: tables with text keys, and lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


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
