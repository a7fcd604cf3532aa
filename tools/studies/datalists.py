"""Which datalists a study has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNLABELLED, LABELLED = "unlabelled", "labelled"


def datalist_kind(config: Mapping[str, Any], kind: str) -> str:
    """The datalist that stands for ``"unlabelled"`` or ``"labelled"``.

    A study that names no unlabelled exams, neither a datalist nor phantoms nor how many to expect, has one datalist. Then
    the patients of its test section take no part in pretraining either.
    """
    named = any(UNLABELLED in (config.get(key) or {}) for key in ("datalists", "phantom", "expected"))
    return kind if kind == LABELLED or named else LABELLED
