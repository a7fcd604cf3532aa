"""What a cache of preprocessed slices depends on, as text that a person can compare."""

from __future__ import annotations

import enum
import functools
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

#: Modules whose code counts by these versions, or by `_source_digest`.
_VERSIONED = ("planewise", "monai", "torch", "numpy", "scipy", "itk", "nibabel", "builtins")

#: Code of this package that decides what a preprocessed slice looks like.
_SOURCES = ("geometry/*.py", "preprocessing/*.py", "exams/dicom.py", "exams/mrnet.py", "data/slice_cache.py")


def describe(value: Any) -> Any:
    """A transform (or any value in it) as plain JSON: class, and what it was configured with.

    Two transforms that would do the same to an item have the same description in every process.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (enum.Enum, torch.dtype, torch.device, np.dtype)):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return np.asarray(value).tolist()
    if isinstance(value, Mapping):
        return {str(key): describe(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(describe(entry)) for entry in value)
    if isinstance(value, Sequence):
        return [describe(entry) for entry in value]
    if isinstance(value, functools.partial):
        return {"partial": describe(value.func), "args": describe(value.args), "keywords": describe(value.keywords)}
    if inspect.isroutine(value) or inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}{_source(value)}"
    attributes = {name: entry for name, entry in vars(value).items() if not name.startswith("_") and name != "R"}
    kind = type(value)
    return {"class": f"{kind.__module__}.{kind.__qualname__}{_source(kind)}", **describe(attributes)}


def _source(value: Any) -> str:
    """Digest of code that comes from no package whose version counts, such as a config's lambda or a user's own class."""
    if str(value.__module__).partition(".")[0] in _VERSIONED:
        return ""
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):
        # written in a config, say, where only the compiled form is left
        source = _compiled(getattr(value, "__code__", None))
    return f" {hashlib.sha256(source.encode()).hexdigest()[:12]}"


def _compiled(code: Any) -> str:
    """What a function does, as text that is the same in every process."""
    if isinstance(code, frozenset):
        return repr(sorted(map(repr, code)))
    if not inspect.iscode(code):
        return repr(code)
    return f"{code.co_code.hex()} {code.co_names} [{', '.join(_compiled(constant) for constant in code.co_consts)}]"


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
    """Digest of the code that decides what a preprocessed slice looks like."""
    digest = hashlib.sha256()
    package = Path(__file__).parent.parent
    for pattern in _SOURCES:
        for source in sorted(package.glob(pattern)):
            digest.update(source.read_bytes())
    return digest.hexdigest()
