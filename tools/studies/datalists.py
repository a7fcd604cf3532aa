"""Determine which datalists a study has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNLABELLED, LABELLED = "unlabelled", "labelled"


def datalist_kind(config: Mapping[str, Any], kind: str) -> str:
    """The kind of datalist that a study uses for ``"unlabelled"`` or ``"labelled"`` exams.

    A study that names no unlabelled exams (no datalist, no phantoms and no expected numbers) has only the labelled datalist.
    Then pretraining excludes the patients of its test section too.
    """
    named = any(UNLABELLED in (config.get(key) or {}) for key in ("datalists", "phantom", "expected"))
    return kind if kind == LABELLED or named else LABELLED
