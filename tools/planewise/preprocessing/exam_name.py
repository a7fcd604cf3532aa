"""What an exam is called outside the datalist."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai.data import MetaTensor

from planewise.exams.identity import hashed, load_salt, salt_file


def exam_of(item: Mapping[str, Any]) -> str:
    """The exam's hash; for an item that has none (MONAI Label's, people's own) a hash of its path, salted as an exam's is."""
    return item.get("exam") or hashed(f"path:{item['image']}", _salt(salt_file()))


@lru_cache(maxsize=1)
def _salt(path: Path) -> bytes:
    """Of this user; read once, since every item asks for it."""
    return load_salt()


def volume_name(item: Mapping[str, Any], hashes: bool = False) -> str:
    """What the files made from a volume are called.

    Args:
        item: with ``image``, and ``exam`` where it comes from a datalist or from DICOM.
        hashes: whether a person's own file, which has no ``exam``, is called by its hash too.

    Returns:
        The exam's hash, or the stem of a person's own file as MONAI's writers take it; and, where its phase has a name, that.
    """
    own = not item.get("exam") and isinstance(item["image"], (str, Path)) and not hashes
    name = stem(Path(item["image"])) if own else exam_of(item)
    phase = item.get("phase")
    return f"{name}_{phase}" if isinstance(phase, str) else name


def phase_in_words(item: Mapping[str, Any]) -> str:
    """When in the heart's cycle an item is: ``"20 % of the cycle"``, a name such as ``"ED"``, or nothing if it is unknown."""
    phase = item.get("phase", "")
    if isinstance(phase, str):
        share = phase.removeprefix("phase")
        return f"{int(share)} % of the cycle" if share != phase and share.isdecimal() else phase
    return f"{100 * phase:.0f} % of the cycle"


def slice_name(item: Mapping[str, Any]) -> str:
    """What the files made from a slice alone are called: as its volume's, with the phase also where that is a fraction.

    Args:
        item: as of `volume_name`.
    """
    phase = item.get("phase")
    return volume_name(
        item if phase is None or isinstance(phase, str) else {**item, "phase": f"phase{100 * phase:02.0f}"}
    )


def stem(path: Path) -> str:
    """A volume's file name without its ending: ``heart0`` of ``heart0.nii.gz``."""
    return Path(path.name.removesuffix(".gz")).stem


def loaded_name(image: MetaTensor) -> str:
    """The `volume_name` that `LoadStackd` gave an image in place of its file's name."""
    return Path(image.meta["filename_or_obj"]).name.removesuffix(".nii.gz")
