"""Convert values of DICOM elements to plain Python values, without pydicom's slower conversion if the result is the
same."""

from __future__ import annotations

import math
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

#: Kinds of text that pydicom strips as a whole, and kinds that it strips part by part.
_TEXTS = {"CS", "DA", "TM", "DT"}
_TEXTS_BY_PART = {"SH", "LO"}


def value_of(dataset: Dataset, tag: int) -> Any:
    """An element's value as a plain Python value. pydicom's conversion costs more than reading the element, so only
    unusual values go through it.

    Raises:
        ValueError: a number is written as Python reads it and ITK does not: 1_000, or with digits that are not ASCII.
    """
    element: DataElement | RawDataElement = dataset.get_item(tag)
    raw = element.value
    if isinstance(raw, bytes) and (b"_" in raw or not raw.isascii()) and dictionary_VR(tag) in ("DS", "IS"):
        raise ValueError(f"{dictionary_VR(tag)} with characters that DICOM does not allow")
    if not isinstance(element, RawDataElement) or not raw or not raw.isascii() or b"\x1b" in raw:
        return dataset[tag].value
    kind = element.VR or dictionary_VR(tag)
    if kind == "US" and len(raw) == 2 and element.is_little_endian:
        return raw[0] + 256 * raw[1]
    if kind in _TEXTS_BY_PART:
        parts: list = [part.rstrip("\0 ") for part in raw.decode("ascii").split("\\")]
    else:
        parts = raw.decode("ascii").rstrip("\0 ").split("\\")
    try:
        if kind == "DS":
            parts = [float(part) for part in parts]
        elif kind == "IS":
            parts = [int(part) for part in parts]
        elif kind == "UI":
            parts = [part.strip() for part in parts]
        elif kind not in _TEXTS_BY_PART and kind not in _TEXTS:
            return dataset[tag].value
    except ValueError:
        return dataset[tag].value
    return parts[0] if len(parts) == 1 else parts


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
