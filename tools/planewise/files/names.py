"""Files below a folder, and the names of the files of a volume, of its channels and of a case."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from planewise.errors import InputError
from planewise.files.identity import PHANTOM_MARK
from planewise.files.nifti import is_nifti
from planewise.words import natural_order


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
    """Channels from a list, or from a text like ``t1,t1ce,t2,flair``; names must be texts, and differ."""
    given = channels.split(",") if isinstance(channels, str) else channels
    texts = isinstance(given, Sequence) and all(isinstance(name, str) for name in given)
    names = tuple(name.strip().lower() for name in given) if texts else ("",)
    if not all(names) or len(set(names)) < len(names) or any(name[0] in "[(" for name in names):
        raise InputError(
            f"channels need different names without brackets, got {channels!r}; write --channels t1,t1ce,t2,flair, or a list "
            "of names in quotes"
        )
    return names


def files_below(folder: str | Path, refuse: Callable[[OSError], object] | None = None) -> Iterator[str]:
    """The paths of all files except the mark of a tree of phantoms, in the same order on every machine. Links to folders are
    followed, because archives often consist of links, but not to a folder that contains ``folder``; each real folder is
    entered only once, so no image is read twice.

    Args:
        folder: its own files come first, then those behind links.
        refuse: called with the error for each folder that cannot be read.
    """
    top = os.path.realpath(folder)
    entered: set[str] = set()
    starts = [os.fspath(folder)]
    while starts:  # grows while the loop finds links
        for root, folders, files in os.walk(starts.pop(0), onerror=refuse):
            place = os.path.realpath(root)
            if place in entered:
                folders.clear()
                continue
            entered.add(place)
            folders.sort(key=natural_order)
            for path in (os.path.join(root, name) for name in folders):
                if os.path.islink(path) and not Path(top).is_relative_to(os.path.realpath(path)):
                    starts.append(path)
            for name in sorted({*files} - {PHANTOM_MARK}, key=natural_order):
                yield os.path.join(root, name)
