"""Describe everything on which a cache of preprocessed slices depends, as text that a person can compare.

A cache depends on all code of the subpackages that read images and make the rows of a cache (`ROOMS`). It stays valid
if a pretext, an augmentation or a network is added or changed.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from planewise.files.checksum import code_sha256

#: Keys of an item that determine which pixels are read and how. Planes and location do not affect a cache.
_READ_KEYS = (
    "image", "frame", "time", "affine", "label", "label_frame", "label_axes", "label_map", "label_origin",
)  # fmt: skip

#: Subpackages whose code makes the contents of a cache. The package's top-level modules count, too.
ROOMS = ("data", "exams", "files", "geometry", "preprocessing")

#: Packages that compute the contents of a cache.
PACKAGES = ("monai", "torch", "numpy", "scipy", "itk-core", "nibabel", "pillow")

#: The modules of these packages. A cache depends on their versions, not on their code.
_VERSIONED = ("monai", "torch", "numpy", "scipy", "itk", "nibabel", "PIL")

#: This package's folder. The folder has the package's name, which differs in a packaged bundle.
_ROOT = Path(__file__).parent.parent


def describe(value: Any) -> Any:
    """Describe a transform, or any value in it, as plain JSON: its class and configuration.

    The description is the same in every process.
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
    # a subclass from elsewhere uses the code of its bases
    code = "".join(dict.fromkeys(map(_source, kind.__mro__)))
    return {"class": f"{kind.__module__}.{kind.__qualname__}{code}", **describe(attributes)}


def _source(value: Any) -> str:
    """Digest of the source of a class or function, such as a config's lambda or a user's own class.

    It is empty if a package's version, or the digest of this package's own code, already represents the source.
    """
    package = str(value.__module__).partition(".")[0]
    if package in (*_VERSIONED, _ROOT.name) or package in sys.stdlib_module_names:
        return ""
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):
        # only the compiled form exists, for example of code in a config
        source = _compiled(getattr(value, "__code__", None))
    return f" {hashlib.sha256(source.encode()).hexdigest()[:12]}"


def _compiled(code: Any) -> str:
    """Describe compiled code as text that is the same in every process."""
    if isinstance(code, frozenset):
        return repr(sorted(map(repr, code)))
    if not inspect.iscode(code):
        return repr(code)
    return f"{code.co_code.hex()} {code.co_names} [{', '.join(map(_compiled, code.co_consts))}]"


def _files(value: Any) -> list[str]:
    """The files of an image: a single file, or a file for each channel or slice."""
    if isinstance(value, Mapping):
        return [str(value["image"])]
    return [path for entry in value for path in _files(entry)] if isinstance(value, (list, tuple)) else [str(value)]


def fingerprint(items: Sequence[Mapping[str, Any]], transform: Callable) -> dict[str, Any]:
    """Everything that determines the result of ``transform`` on ``items``.

    Files are represented by their size and modification time, so a mask that was drawn again is read again. Code is
    represented by the source of this package's `ROOMS` and by the versions of the libraries.

    Args:
        items: items of a datalist.
        transform: transform that makes the rows of a cache from the items.
    """
    stamps = hashlib.sha256()
    for path in sorted({file for item in items for key in ("image", "label") for file in _files(item.get(key, []))}):
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
        "code": code_sha256(_ROOT, ROOMS, modules=True),
        "versions": {name: version(name) for name in PACKAGES},
    }
