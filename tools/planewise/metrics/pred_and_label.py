"""What a metric takes of an engine's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def pred_and_label(output: Any) -> Any:
    """Prediction and target of an engine's output; anything else as it is, for metrics outside an engine."""
    return (output["pred"], output["label"]) if isinstance(output, Mapping) else output
