"""What an exam is called outside the datalist."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.data import MetaTensor


def exam_of(item: Mapping[str, Any]) -> str:
    """The exam's hash; for an item that has none (MONAI Label's, people's own) a hash of its path."""
    return item.get("exam") or hashlib.sha256(str(item["image"]).encode()).hexdigest()[:10]


def volume_name(item: Mapping[str, Any]) -> str:
    """What the files made from a volume are called: the exam's hash and, where its phase has a name, that."""
    phase = item.get("phase")
    return f"{exam_of(item)}_{phase}" if isinstance(phase, str) else exam_of(item)


def loaded_name(image: MetaTensor) -> str:
    """The `volume_name` that `LoadStackd` gave an image in place of its file's name."""
    return Path(image.meta["filename_or_obj"]).name.removesuffix(".nii.gz")
