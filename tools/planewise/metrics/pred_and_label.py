"""Extract the part of an engine's output that a metric needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def pred_and_label(output: Any) -> Any:
    """The prediction and the target in an engine's output. If the output does not come from an engine, it is returned
    unchanged."""
    return (output["pred"], output["label"]) if isinstance(output, Mapping) else output
