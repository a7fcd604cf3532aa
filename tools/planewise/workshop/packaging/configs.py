"""Edit the text of a bundle's YAML files and keep their comments and layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

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
    edits = []
    for key, (name, node) in _top_level(text).items():
        if key in values:
            edits.append((name.end_mark.index, max(_end(node), name.end_mark.index + 1), f":{_written(values[key])}"))
    return _edited(text, edits)


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


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    for start, end, written in sorted(edits, reverse=True):
        text = text[:start] + written + text[end:]
    return text
