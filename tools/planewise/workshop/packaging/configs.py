"""The configs of a package: a bundle's YAML files with their comments and layout, with the settings of the run that made the
weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml
from torch.utils._pytree import tree_leaves

from planewise.engines.run_bundle import has_other_code
from planewise.engines.run_record import (
    RunRecord,
    as_before,
    channels_of,
    defining_settings,
    differ,
    holds_code,
    inference_of,
    plain,
    reached,
)
from planewise.errors import InputError
from planewise.settings import NOT_COMPUTED, PATHS
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
    """The config with new values of some of its top-level keys; keys that it lacks are added before its network."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    top = {name.value: (name, node) for name, node in pairs}
    for key, (name, node) in reversed(top.items()):
        if key in values:
            end = max(_end(node), name.end_mark.index + 1)
            text = f"{text[: name.end_mark.index]}:{_written(values[key])}{text[end:]}"
        if key == "network_def":
            start = name.start_mark.index
            added = "".join(f"{new}:{_written(value)}\n" for new, value in values.items() if new not in top)
            text = f"{text[:start]}{added}\n{text[start:]}" if added else text
    return text


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


#: Parts of ``train`` that no setting can replace. If a run has others, it does not belong to the bundle.
_OWN = ("preprocessing", "targets")
#: Keys of a training config that belong to the bundle or to the machine, not to the run.
_NOT_TAKEN = frozenset((*NOT_COMPUTED, *PATHS, "train", "validate"))


def settings_of(
    run: RunRecord, train: Mapping[str, Any], inference: Mapping[str, Any], *others: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The changes to a bundle's configs ``train`` and ``inference`` that are needed to use the weights of a run, as
    ``{"train.yaml": {key: value}, "inference.yaml": {key: value}}``.

    The run may be another person's, so it is treated as data: what MONAI would evaluate is refused for inference, and left
    out of the training config, unless it is in the bundle's own configs; ``others`` are those besides these two.

    Raises:
        InputError: the run does not belong to this bundle, or contains code that is not in the bundle's configs.
    """
    train, inference = plain(train), plain(inference)
    own, files = as_before(train, run), (train, inference, *others)
    needed = defining_settings(inference) | reached(own.get("network_def"), own)
    unlike = sorted(needed & own.keys() - run.config.keys())
    parts = train.get("train", {}), run.config.get("train") or {}
    unlike += [f"train#{key}" for key in _OWN if not run.ships and parts[0].get(key) != parts[1].get(key)]
    if unlike:
        raise InputError(
            f"{run.folder} is not a run of this bundle as it is now: it has no or another {', '.join(unlike[:5])}; name "
            f"another run with --weights, or use the code that made this run (commit {run.record.get('commit', 'unknown')})"
        )
    content = inference_of(run, train, inference)
    changed = {
        "train.yaml": settings_unlike(run.config, own)
        | {
            key: value
            for key, value in run.config.items()
            if holds_code(value)
            and key not in _NOT_TAKEN
            and value != own.get(key)
            and not has_other_code(key, value, files)
        },
        "inference.yaml": {
            key: value for key, value in content.items() if key not in inference or differ(inference[key], value)
        },
    }
    if (channels := channels_of(run, train)) != train.get("channels", run.channels):
        changed["train.yaml"]["channels"] = channels
    network = {"network_def": run.config.get("network_def")}
    code = [key for key, value in (network | changed["inference.yaml"]).items() if has_other_code(key, value, files)]
    if code:
        raise InputError(
            f"the run {run.folder} has another {' and another '.join(sorted(code))}, which MONAI would evaluate, but the "
            f"configuration of a run is only read as data. If you trust it, copy the bundle's folder, write "
            "the run's value into configs/train.yaml and configs/inference.yaml of the copy, and name the copy"
        )
    return changed


def settings_unlike(config: Mapping[str, Any], train: Mapping[str, Any]) -> dict[str, Any]:
    """The plain settings of a run (numbers, text, lists and tables of them) that a training config lacks or has with another
    value, except those with paths or about the machine."""
    return {
        key: config[key]
        for key in sorted(config.keys() - _NOT_TAKEN)
        if (key not in train or differ(train[key], config[key]))
        and not holds_code(config[key])
        and not any(mark in str(text) for text in tree_leaves(config[key]) for mark in "/\\~")
    }
