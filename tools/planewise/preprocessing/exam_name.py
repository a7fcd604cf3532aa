"""Name exams, and the files that are made from them, without revealing the patient."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai.data import MetaTensor

from planewise.files.identity import hashed, load_salt, salt_file
from planewise.phases import phase_name


def exam_of(item: Mapping[str, Any]) -> str:
    """The hash of an item's exam; for an item without an exam (from MONAI Label, or a person's own file), a salted hash
    of its path."""
    return item.get("exam") or hashed(f"path:{item['image']}", _salt(salt_file()))


@lru_cache(maxsize=1)
def _salt(path: Path) -> bytes:
    """The user's salt; cached, because every item needs it."""
    return load_salt()


def volume_name(item: Mapping[str, Any]) -> str:
    """The name of the files made from a volume: the exam's hash, or the stem of a person's own file (as MONAI's writers name
    it), which has no ``exam``. If the phase has a name, this name is appended."""
    own = not item.get("exam") and isinstance(item["image"], (str, Path))
    name = stem(Path(item["image"])) if own else exam_of(item)
    phase = item.get("phase")
    return f"{name}_{phase}" if isinstance(phase, str) else name


def slice_name(item: Mapping[str, Any]) -> str:
    """The name of the files made from a single slice: like `volume_name`, but including a phase given as a fraction."""
    phase = item.get("phase")
    return volume_name(item if phase is None or isinstance(phase, str) else {**item, "phase": phase_name(phase)})


def stem(path: Path) -> str:
    """A volume's file name without its ending: ``heart0`` of ``heart0.nii.gz``."""
    return path.with_suffix("").stem if path.suffix.lower() == ".gz" else path.stem


def loaded_name(image: MetaTensor) -> str:
    """The `volume_name` that `LoadStackd` stored in an image in place of its file's name."""
    return Path(image.meta["filename_or_obj"]).name.removesuffix(".nii.gz")
