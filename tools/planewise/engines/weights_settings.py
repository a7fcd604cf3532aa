"""Find the training settings of a run that are needed to use its weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from monai.bundle.reference_resolver import ReferenceResolver

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

#: A key in the record of weights that ship with a bundle. It contains the inference settings that are known only after
#: training: values measured with the weights, and a description of their training data. Other weights lack them.
MEASURED = "measured"
_MEASURED = ("plane_bounds", "joint_bounds", "trained_on")

#: Characters that mark text which MONAI evaluates, looks up or reads from another file.
_CODE = re.compile(r"[$@%]")


def leaves(value: Any) -> Iterator[Any]:
    """The values in nested tables and lists."""
    if isinstance(value, (Mapping, list, tuple)):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from leaves(entry)
    else:
        yield value


def references(value: Any) -> set[str]:
    """The top-level keys to which a part of a config refers; ``@train#dataset`` refers to ``train``."""
    texts = (text for text in leaves(value) if isinstance(text, str))
    return {re.split("::|#", name)[0] for text in texts for name in ReferenceResolver.match_refs_pattern(text)}


def reached(value: Any, config: Mapping[str, Any]) -> set[str]:
    """The keys of a config to which a part of it refers, directly or through other keys."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        new = references(waiting.pop()) & config.keys() - found
        found |= new
        waiting += [config[key] for key in new]
    return found


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
    own = as_before(train, run)
    changed = [key for key in PARTS_OF_INFERENCE if key in run.config and run.config[key] != own.get(key)]
    content = {**inference, **{key: run.config[key] for key in changed}}
    parts = [content.get(key) for key in PARTS_OF_INFERENCE]
    needed = reached(parts, run.config) - content.keys() - {"train", *NOT_COMPUTED, *FILES}
    content |= {key: run.config[key] for key in needed}
    content |= {key: run.config[key] for key in defining_settings(content) if key in run.config}
    if "channels" in content and "channels" not in needed:
        content["channels"] = channels_of(run, content)
    return content | measured_settings(run.record, inference)


def as_before(train: Mapping[str, Any], run: RunRecord) -> dict[str, Any]:
    """A training config without the settings that are newer than a run, if their value is null, which keeps the behaviour
    from before they existed."""
    later = {f"@{key}" for key, value in train.items() if value is None and key not in run.config}
    own = {key: value for key, value in train.items() if f"@{key}" not in later}
    if isinstance(network := own.get("network_def"), Mapping):
        own["network_def"] = {key: value for key, value in network.items() if str(value) not in later}
    return own


def channels_of(run: RunRecord, config: Mapping[str, Any]) -> Any:
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


def differ(one: Any, other: Any) -> bool:
    """Whether two values of a setting differ. The order of a table counts, because that of ``structures`` is that of the
    network's outputs."""
    return one != other or (isinstance(one, Mapping) and list(one) != list(other))


def plain(value: Any) -> Any:
    """Convert a config, or a part of it, to the form that a run writes as YAML: tables with text keys, and lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value
