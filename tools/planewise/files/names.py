"""Names of the files of a volume, of its channels and of a case."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

from planewise.errors import InputError
from planewise.files.nifti import is_nifti

#: Endings of the files of a BraTS case, in the order in which they become channels.
BRATS = ("t1", "t1ce", "t2", "flair")
#: The same since 2023.
BRATS_2023 = ("t1n", "t1c", "t2w", "t2f")


def stem(path: Path) -> str:
    """The file's name without ``.nii`` or ``.nii.gz``."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def case_and_channel(path: Path) -> tuple[str, int | None]:
    """``imagesTr/p1_0000.nii.gz`` of nnU-Net to ``("p1", 0)``; None for a name without a channel."""
    named = re.fullmatch(r"(.+)_(\d{4})", stem(path), re.DOTALL)
    return (named[1], int(named[2])) if named else (stem(path), None)


def common_name(files: Sequence[str | Path]) -> str:
    """The words with which the names of a case's files begin: ``17`` for ``17_t1n.nii.gz`` and ``17_t1c.nii.gz``; the name of
    their folder if the first words differ."""
    words = zip(*(re.split(r"([\s_.-])", stem(Path(file))) for file in files), strict=False)
    shared = "".join(same[0] for same in takewhile(lambda same: len(set(same)) == 1, words))
    return shared.rstrip("_.- ") or Path(files[0]).absolute().parent.name


def nifti_files(paths: Iterable[Path]) -> list[Path]:
    """The paths of files that are NIfTI by their names, in order, without hidden files (the decathlon's ``._*``)."""
    return sorted(path for path in paths if is_nifti(path) and path.name[0] != ".")


def check_channels(channels: str | Sequence[str]) -> tuple[str, ...]:
    """Channels from a list, or from a text like ``t1,t1ce,t2,flair``.

    Raises:
        InputError: a name is empty or appears twice, or is not a text.
    """
    given = channels.split(",") if isinstance(channels, str) else channels
    if not isinstance(given, Sequence) or not all(isinstance(name, str) for name in given):
        raise InputError(
            f"channels must be a list of names, got {channels!r}; write each name in quotes, even a number"
        )
    names = tuple(name.strip().lower() for name in given)
    in_brackets = isinstance(channels, str) and channels.lstrip().startswith(("[", "("))
    if not all(names) or len(set(names)) < len(names) or in_brackets:
        raise InputError(
            f"channels need different names without brackets, got {channels!r}; write --channels t1,t1ce,t2,flair"
        )
    return names
