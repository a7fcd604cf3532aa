"""Flaws of photographs and of their table, written on demand to test readers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planewise.phantoms.defect import Defect, changing, keeping, unchanged
from planewise.phantoms.scanner.photograph import PhotographFile

#: macOS' hidden file next to a file in an archive.
_MAC = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "


def _tiny(file: PhotographFile) -> PhotographFile:
    step = max(1, file.pixels.shape[1] // 32)
    return replace(file, pixels=np.ascontiguousarray(file.pixels[::step, ::step][:, :32]))


#: Flaws in the APTOS layout by name, in listing order.
APTOS_DEFECTS = {
    "text": Defect(
        "a text file with a photograph's name",
        changing(lambda file: replace(file, content=b"This photograph is not available.\n")),
    ),
    "truncated": Defect(
        "truncated in the middle of the pixels",
        changing(lambda file: replace(file, content=file.encoded()[: len(file.encoded()) // 2])),
    ),
    "empty": Defect("an empty file", changing(lambda file: replace(file, content=b""))),
    "tiny": Defect("a thumbnail, 32 pixels wide", changing(_tiny)),
    "grey": Defect("in shades of grey", changing(lambda file: replace(file, pixels=file.pixels[..., 1].copy()))),
    "opacity": Defect(
        "with an alpha channel, as in screenshots",
        changing(lambda file: replace(file, pixels=np.dstack([file.pixels, np.full_like(file.pixels[..., 0], 255)]))),
    ),
    "black": Defect(
        "black everywhere: the shutter stayed closed",
        changing(lambda file: replace(file, pixels=np.zeros_like(file.pixels))),
    ),
    "hidden": Defect(
        "macOS' hidden file (._*) next to it, as in archives",
        lambda files, exam, identity: [*files, *(replace(file, name=f"._{file.name}", content=_MAC) for file in files)],
    ),
    "twice": Defect(
        "the same file again under another name, as in the real set",
        lambda files, exam, identity: [*files, *(replace(file, name=f"9{file.name[1:]}") for file in files)],
    ),
    "no_row": Defect("no row in the table", unchanged),
    "no_file": Defect("a row in the table, but no file", keeping(lambda file: False)),
    "no_grade": Defect("a word instead of the grade in the table", unchanged),
    "plain_numbers": Defect("the table's names have lost their zeros, as in spreadsheets", unchanged),
}
