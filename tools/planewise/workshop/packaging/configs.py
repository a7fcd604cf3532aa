"""The configs of a package: a bundle's YAML files with their comments and layout, with the settings of the run that made the
weights."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from inspect import signature
from pydoc import locate
from typing import Any

import yaml
from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from planewise.engines.run_record import (
    RunRecord,
    as_before,
    channels_of,
    defining_settings,
    differ,
    holds_code,
    inference_of,
    leaves,
    measured_settings,
    plain,
    references,
)
from planewise.errors import InputError
from planewise.not_computed import NOT_COMPUTED
from planewise.workshop.packaging.code import renamed

#: Configs that a package also contains as ``.json``, because `monai.bundle.load` and MONAI's federated client look
#: only for that.
TWINS = ("inference.yaml", "train.yaml")
#: First lines of ``imports`` and ``initialize`` in a packaged config, which make the bundle's code importable; MONAI searches
#: the bundle's folder only after initialisation.
_IMPORTS = ("$import inspect", "$import os", "$import sys")
_FIND_CODE = (
    "$os.path.isdir(os.path.join(@bundle_root, '{name}')) or sys.exit('there is no {name}/ in ' + "
    "os.path.abspath(@bundle_root) + '; name the bundle with --bundle_root')",
    "$sys.path.insert(1, os.path.abspath(@bundle_root))",
    "$import {name}",
)
#: Expression for the bundle's folder, which is the parent of the config's folder. An expression has no access to the path of
#: its config, so this one looks for the workflow that calls it and takes the path from there. Without a workflow
#: (`ckpt_export`), it gives the current folder.
_OWN_FOLDER = (
    "$next((str(info.frame.f_locals['self'].config_root_path.resolve().parent) for info in inspect.stack(0) "
    "if isinstance(info.frame.f_locals.get('self'), monai.bundle.ConfigWorkflow)), '.')"
)


def for_a_bundle(text: str, name: str) -> str:
    """The config as it is in a package, where it finds the bundle's folder and uses the code in the folder ``name``."""
    text = renamed(text, name)
    config = yaml.safe_load(text)
    first = {"imports": _IMPORTS, "initialize": [line.format(name=name) for line in _FIND_CODE]}
    values = {key: list(dict.fromkeys([*lines, *config[key]])) for key, lines in first.items() if key in config}
    if config.get("bundle_root") == ".":
        values["bundle_root"] = _OWN_FOLDER
    return with_values(text, values)


def as_json(text: str) -> str:
    """A YAML config as JSON, which `monai.bundle.load` looks for."""
    return json.dumps(yaml.safe_load(text), indent=2, ensure_ascii=False) + "\n"


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """The config with new values of some of its top-level keys; values for keys that it lacks are ignored."""
    for key, (name, node) in reversed(_top_level(text).items()):
        if key in values:
            end = max(_end(node), name.end_mark.index + 1)
            text = f"{text[: name.end_mark.index]}:{_written(values[key])}{text[end:]}"
    return text


def with_overlay(text: str, values: Mapping[str, Any]) -> str:
    """The config with new values of some of its top-level keys; keys that it lacks are added before its network."""
    top = _top_level(text)
    added = "".join(f"{key}:{_written(value)}\n" for key, value in values.items() if key not in top)
    if added:
        start = top["network_def"][0].start_mark.index if "network_def" in top else len(text)
        text = f"{text[:start]}{added}\n{text[start:]}"
    return with_values(text, {key: value for key, value in values.items() if key in top})


def _top_level(text: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return {key.value: (key, value) for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}


def _end(node: yaml.Node) -> int:
    """The end of a node's text. In PyYAML, a block ends only at the next key, after the comments before that key."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, yaml.MappingNode) else last)
    return node.end_mark.index


def _written(value: Any) -> str:
    """A value as text after a key's colon: on the same line, or as an indented block."""
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    nested = any(isinstance(entry, (dict, list)) or str(entry).startswith("$") for entry in entries)
    if nested or (isinstance(value, dict) and "_target_" in value):
        block = yaml.safe_dump(value, sort_keys=False, width=1000)
        return "\n" + "\n".join(f"  {line}" for line in block.splitlines())
    line = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return " " + line.removesuffix("...\n").rstrip("\n")


#: Keys of a training config that no setting can replace. If a run has another value, it does not belong to the bundle.
_OWN = ("preprocessing", "targets")


def settings_of(run: RunRecord, train: Mapping[str, Any], inference: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The changes to a bundle's configs ``train`` and ``inference`` that are needed to use the weights of a run, as
    ``{"train.yaml": {key: value}, "inference.yaml": {key: value}}``.

    The run may be another person's, so it is treated as data: anything that MONAI would evaluate is refused unless it is
    also in the bundle's own configs.

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
    unlike += [f"train#{key}" for key in _OWN if not _same(*(part.get(key) for part in parts))]
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
    """The top-level keys of an overlay that a config contains, on which its network, input or output depends, or to which a
    part refers that the overlay replaces (as ``dataset`` refers to ``channels``)."""
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


def _same(own: Any, other: Any) -> bool:
    """Whether a part of a run's config is the bundle's own, apart from arguments with their default values."""
    names = {
        text for text in leaves(own) if str(text).startswith("planewise.")
    }  # never those of another person's config
    defaults = {
        name: {key: given.default for key, given in signature(made).parameters.items()}
        for name in names
        if isinstance(made := locate(name), type)
    }

    def plainly(value: Any) -> Any:
        if isinstance(value, list):
            return [plainly(entry) for entry in value]
        if not isinstance(value, Mapping):
            return value
        known = defaults.get(str(value.get("_target_")), {})
        return {key: plainly(entry) for key, entry in value.items() if key not in known or known[key] != entry}

    return plainly(own) == plainly(other)
