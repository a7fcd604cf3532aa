"""What a cache of preprocessed slices depends on, as text that a person can compare."""

from __future__ import annotations

import enum
import hashlib
import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

#: Keys of an item that decide which pixels are read and how; planes and location are no concern of a cache.
_READ_KEYS = ("image", "frame", "time", "affine", "label", "label_frame", "label_axes", "label_map")

#: Packages that compute what the cache holds.
PACKAGES = ("monai", "torch", "numpy", "scipy", "itk-core", "nibabel")


def describe(value: Any) -> Any:
    """A transform (or any value in it) as plain JSON: class, and what it was configured with.

    Two transforms that would do the same to an item have the same description in every process.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, enum.Enum):
        return str(value)
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return np.asarray(value).tolist()
    if isinstance(value, Mapping):
        return {str(key): describe(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(describe(entry)) for entry in value)
    if isinstance(value, Sequence):
        return [describe(entry) for entry in value]
    if inspect.isroutine(value) or inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}"
    attributes = {name: entry for name, entry in vars(value).items() if not name.startswith("_") and name != "R"}
    return {"class": f"{type(value).__module__}.{type(value).__qualname__}", **describe(attributes)}


def fingerprint(items: Sequence[Mapping[str, Any]], transform: Callable) -> dict[str, Any]:
    """Everything that decides what ``transform`` makes of ``items``.

    The files count by size and time of change, so a mask that was drawn again is read again; the code counts by the
    source of this package's own transforms and the versions of the libraries.
    """
    stamps = hashlib.sha256()
    for path in sorted({str(item[key]) for item in items for key in ("image", "label") if key in item}):
        try:
            status = os.stat(path)
            stamps.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
        except OSError:
            stamps.update(f"{path} missing\n".encode())
    read = [{key: item[key] for key in _READ_KEYS if key in item} for item in items]
    content = hashlib.sha256(json.dumps(read, sort_keys=True, default=str).encode())
    return {
        "slices": len(items),
        "items": content.hexdigest(),
        "files": stamps.hexdigest(),
        "transform": describe(transform),
        "code": _source_digest(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _source_digest() -> str:
    """Digest of the rooms whose code decides what a preprocessed slice looks like."""
    digest = hashlib.sha256()
    package = Path(__file__).parent.parent
    for room in ("geometry", "transforms"):
        for source in sorted((package / room).glob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()
