"""Representative bundles, one of each kind, for tests that train."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pytest

_FILES = sorted((Path(__file__).resolve().parents[1] / "bundles").glob("*/configs/metadata.json"))
#: One bundle for each kind of training: its ``metadata.json`` has a ``kind`` under ``planewise``, ``tests``.
KINDS = tuple(
    file.parents[1].name
    for file in _FILES
    if "kind" in json.loads(file.read_text()).get("planewise", {}).get("tests", {})
)
#: A pretext and a task that represent all others in long tests; the longest tests use only the task.
PRETEXT_AND_TASK = ("pretext_cardiac_multitask", "downstream_knee_injury_classification")


def others_slow(names: Iterable[str], always: Collection[str] = KINDS) -> list[Any]:
    """Parameters for a test of bundles; bundles that are not in ``always`` are marked slow."""
    return [name if name in always else pytest.param(name, marks=pytest.mark.slow) for name in names]
