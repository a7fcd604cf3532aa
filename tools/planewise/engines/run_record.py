"""Read what a training run leaves next to its weights, and find the settings on which the weights depend."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai.bundle.reference_resolver import ReferenceResolver
from torch.utils._pytree import tree_leaves

from planewise.errors import InputError
from planewise.files.checksum import sha256
from planewise.files.text import read_json, read_yaml
from planewise.settings import FILES, NOT_COMPUTED

#: The name of this package. In a packaged bundle, the name of its code also has a checksum, so that one process can use
#: several packages; the pattern is a glob and a regular expression.
OURS = "planewise"
THEIRS = f"{OURS}_{'[0-9a-f]' * 8}"
#: The folder of a run that holds its configs, as a bundle.
BUNDLE = "bundle"
#: The record next to weights that ship with a bundle. It takes the place of a run's folder, so it includes the configuration.
RELEASED = "record.json"
#: Key of the record that contains the SHA-256 of the weights file.
WEIGHTS_SUM = "weights_sha256"
#: Key of the record that contains the scores on real patients, from whom the weights have not learned: ``data`` (the patients
#: in words), ``source`` and ``scores``.
PATIENTS = "patients"
#: Key of the record with inference settings that are known only after training (`_MEASURED`).
MEASURED = "measured"
_MEASURED = ("plane_bounds", "joint_bounds", "trained_on")

#: Keys of an inference config that define the network, its input, how it is called, and the use of its output.
DEFINING = ("network_def", "preprocessing", "inferer", "postprocessing")
#: The parts of an inference config that an overlay such as ``photograph.yaml`` replaces.
PARTS_OF_INFERENCE = (*DEFINING, "dataset")
#: Keys of an inference config that do not belong to the weights: how it runs, and ``network``, which training loads.
_OF_INFERENCE = {*NOT_COMPUTED, *DEFINING, "amp", "batch_size", "network"}
#: Settings of ``dataset`` that select exams; its others, such as ``slices``, belong to the weights.
_SELECTING = {*FILES, "input", "section", "num_exams", "phases", "channels"}
#: Characters that mark text which MONAI evaluates, looks up or reads from another file.
_CODE = re.compile(r"[$@%]")


def metadata_of(weights: Path) -> dict[str, Any]:
    """The metadata of the bundle that a weights file belongs to, in its folder or in ``models`` there; empty without one.

    Raises:
        InputError: the metadata cannot be read.
    """
    found = (folder / "configs" / "metadata.json" for folder in (weights.parent, weights.parent.parent))
    return next((read_json(file) for file in found if file.is_file()), {})


@dataclass(frozen=True)
class RunRecord:
    """A run's folder, written by `planewise.engines.start_run`."""

    folder: Path
    weights: Path
    config: dict[str, Any] = field(repr=False)
    """Every setting of the run, with this package's module names"""
    record: dict[str, Any] = field(repr=False)
    """``run.json``: seed, hash of the configuration, versions, commit"""

    @property
    def ships(self) -> bool:
        """Whether the weights are those that ship with a bundle."""
        return WEIGHTS_SUM in self.record

    @property
    def channels(self) -> list[str]:
        """Names of the channels of the images from which the weights learned, in order; empty if they are unknown."""
        names = self.record.get("channels")
        return list(map(str, names)) if isinstance(names, list) else []

    @classmethod
    def of_weights(cls, weights: Path) -> RunRecord | None:
        """The run that wrote a weights file; None if no file next to the weights identifies it. The files are read as data.

        Weights that ship with a bundle have the record of their run next to them, with their SHA-256, so that other weights
        at the same path are not mistaken for them. A broken record or configuration raises an `InputError`.
        """
        models = weights.resolve().parent
        if (models / RELEASED).is_file():
            record = read_table(models / RELEASED)
            if record.get(WEIGHTS_SUM) == sha256(weights):
                config = as_table(record.pop("config", None), models / RELEASED)
                return cls(models, weights, in_our_names(config), record)
        # the weights are in the run's own folder, or else in the bundle's folder, next to eval/
        for folder in (models.parent, models.parent / "eval"):
            config, record = config_file(folder), folder / "run.json"
            if models.name == "models" and config.is_file() and record.is_file():
                settings = in_our_names(as_table(read_yaml(config), config))
                return cls(folder, weights, settings, read_table(record))
        return None


def config_file(folder: Path) -> Path:
    """The configuration of a run in its folder; a run of version 0.1 has it in ``config.yaml``."""
    own = folder / BUNDLE / "configs" / "train.yaml"
    return own if own.is_file() else folder / "config.yaml"


def own_code(bundle: Path) -> Path | None:
    """The folder of a packaged bundle's code; None if the bundle is not packaged."""
    return next((path.parent for path in bundle.glob(f"{THEIRS}/__init__.py")), None)


def forget(package: str) -> None:
    """Remove a package's loaded modules, so that the next import loads them again."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def scores_in_words(patients: Mapping[str, Any]) -> str:
    """The most important scores of a segmentation on patients, from the record of its weights (`PATIENTS`)."""
    scores = patients["scores"]

    def each(name: str, digits: int, unit: str) -> str:
        known = {key: entry[name]["mean"] for key, entry in scores["structures"].items() if name in entry}
        # rounded to four digits first, as in metadata.json, so that the model card has the same digits
        return ", ".join(
            f"{key} {round(value, 4):.{digits}f}{unit}" for key, value in known.items() if value is not None
        )

    return (
        f"mean Dice {scores['mean']['dice']['mean']:.3f} ({each('dice', 3, '')}) on {patients['data']}; mean absolute "
        f"error of the ejection fraction: {each('ejection_fraction_distance_pct', 1, ' points')}; mean difference of the "
        f"end-diastolic volume: {each('diastole_volume_error_ml', 1, ' ml')}"
    )


def in_our_names(value: Any) -> Any:
    """Convert a config to the form of a bundle's own files, in which references use ``#``, and code has this package's name,
    which differs in a packaged bundle."""
    if isinstance(value, dict):
        return {key: in_our_names(entry) for key, entry in value.items() if key != "initialize"}
    if isinstance(value, list):
        return [in_our_names(entry) for entry in value]
    if not isinstance(value, str):
        return value
    value = re.sub(rf"(?<![\w.]){THEIRS}(?=\.\w)|(?<=^\$import ){THEIRS}$", OURS, value)
    return re.sub(r"@\w+(::\w+)+", lambda reference: reference[0].replace("::", "#"), value)


def read_table(path: Path) -> dict[str, Any]:
    """Read a table from a JSON file; an `InputError` if it cannot be read, or contains something else."""
    return as_table(read_json(path), path)


def as_table(content: Any, path: Path) -> dict[str, Any]:
    """The content of a file that must be a table of settings."""
    if not isinstance(content, dict):
        raise InputError(f"{path} contains no settings; name another run")
    return content


def plain(value: Any) -> Any:
    """Convert a config, or a part of it, to the form that a run writes as YAML: tables with text keys, and lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def differ(one: Any, other: Any) -> bool:
    """Whether two values of a setting differ. The order of a table counts, because that of ``structures`` is that of the
    network's outputs."""
    return one != other or (isinstance(one, Mapping) and list(one) != list(other))


def holds_code(value: Any) -> bool:
    """Whether MONAI could interpret a part of a config as more than numbers, text, lists and tables: text with one of "$@%",
    and a table with a key that contains one of these characters or begins with an underscore, like ``_target_``."""
    if isinstance(value, Mapping):
        keys = [str(key) for key in value]
        return any(key.startswith("_") or holds_code(key) for key in keys) or any(map(holds_code, value.values()))
    if isinstance(value, list):
        return any(map(holds_code, value))
    if isinstance(value, str):
        return _CODE.search(value) is not None
    # YAML also has dates and bytes
    return not (value is None or isinstance(value, (bool, int, float)))


def references(value: Any) -> set[str]:
    """The top-level keys to which a part of a config refers; ``@train#dataset`` refers to ``train``."""
    texts = (text for text in tree_leaves(value) if isinstance(text, str))
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
    samples = references(inference.get("dataset")) - _SELECTING
    return settings_of_part([*map(inference.get, DEFINING), *(f"@{key}" for key in samples)], inference)


def settings_of_part(part: Any, config: Mapping[str, Any]) -> set[str]:
    """Top-level settings on which a part of a config depends, without those that affect only the speed of inference."""
    return reached(part, {key: value for key, value in config.items() if key not in _OF_INFERENCE})


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
    """The changes to an inference config that come from values measured with the weights, from the record of their run ({} if
    it is unknown); an `InputError` if the record contains code."""
    measured = record.get(MEASURED, {})
    if not isinstance(measured, Mapping) or holds_code(measured):
        raise InputError("the measured settings in the record of these weights must be numbers and text only")
    wanted = {key: measured.get(key) for key in _MEASURED if key in inference}
    return {key: value for key, value in wanted.items() if inference[key] != value}
