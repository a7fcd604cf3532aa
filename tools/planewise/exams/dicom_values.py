"""Values of DICOM elements as plain Python values."""

from __future__ import annotations

import math
from typing import Any


def values_of(value: Any) -> list:
    """A value as a list of zero, one or several values."""
    if value is None:
        return []
    return list(value) if not isinstance(value, str) and hasattr(value, "__iter__") else [value]


def number_of(value: Any) -> float | None:
    """A value as a finite number; None if it is not a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
