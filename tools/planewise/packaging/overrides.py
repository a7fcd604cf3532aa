"""Names that are given to `python -m monai.bundle run` and that no config takes: MONAI accepts them without a word."""

from __future__ import annotations

import difflib
import inspect
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import monai.bundle
import yaml

#: Of `python -m monai.bundle run` itself.
_OPTIONS = frozenset(inspect.signature(monai.bundle.run).parameters) | {"args_file"}


def unknown_overrides(arguments: Sequence[str], known: Mapping[str, Any]) -> dict[str, str | None]:
    """Overrides that lead nowhere.

    Args:
        arguments: as after ``monai.bundle run``: ``["--sigmaa", "3", "--train#trainer#max_epochs", "1"]``.
        known: the config that they are for.

    Returns:
        Name to the nearest name that is known, or None.
    """
    unknown = {}
    for argument in arguments:
        if not argument.startswith("--"):
            continue
        name = argument[2:].partition("=")[0]
        path = re.split(r"#|::", name.lstrip("+~"))
        if path[0] in _OPTIONS or path[0] == "_meta_":
            continue
        place: Any = known
        for number, key in enumerate(path):
            below = _keys_of(place)
            if key not in below:
                near = difflib.get_close_matches(key, below, n=1)
                unknown[name] = "#".join([*path[:number], *near]) if near else None
                break
            place = place[key] if isinstance(place, Mapping) else place[int(key)]
    return unknown


def config_files(arguments: Sequence[str]) -> list[str]:
    """Names of the files that ``--config_file`` gives, without their folders."""
    for position, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name == "--config_file":
            files = yaml.safe_load(value or next(iter(arguments[position + 1 :]), ""))
            return [Path(str(file)).name for file in (files if isinstance(files, list) else [files])]
    return []


def documented_runs(readme: str) -> list[list[str]]:
    """The arguments of every ``monai.bundle run`` in a text's blocks of commands."""
    runs = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", readme, re.S | re.M):
        for line in block.replace("\\\n", " ").splitlines():
            if language not in ("", "bash", "sh") or "monai.bundle run" not in line:
                continue
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                continue
            if "run" in words:
                runs.append(words[words.index("run") + 1 :])
    return runs


def _keys_of(place: Any) -> list[str]:
    if isinstance(place, Mapping):
        return [str(key) for key in place]
    return [str(number) for number in range(len(place))] if isinstance(place, list) else []
