"""List the files below a folder, also behind links to other folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from planewise.files.identity import PHANTOM_MARK
from planewise.words import natural_order


def files_below(
    folder: str | Path,
    refuse: Callable[[OSError], object] | None = None,
    leave_out: Callable[[str], object] | None = None,
) -> Iterator[str]:
    """The paths of all files except the mark of a tree of phantoms, in the same order on every machine. Links to folders are
    followed, because archives often consist of links; each real folder is entered only once, so a loop of links ends, and no
    image is read twice.

    Args:
        folder: its own files come first, then those behind links.
        refuse: called with the error for each folder that cannot be read; None ignores them.
        leave_out: called with the path of each link to a folder that contains ``folder``; such links are not followed.
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
                if not os.path.islink(path):
                    continue
                target = os.path.realpath(path)
                if target != top and Path(top).is_relative_to(target):
                    if leave_out is not None:
                        leave_out(path)
                else:
                    starts.append(path)
            for name in sorted({*files} - {PHANTOM_MARK}, key=natural_order):
                yield os.path.join(root, name)
