"""The part of an engine's output that a metric needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def pred_and_label(output: Any) -> Any:
    """Prediction and target of an engine's output; any other output is returned unchanged, for metrics without an engine."""
    return (output["pred"], output["label"]) if isinstance(output, Mapping) else output
