"""Flaws of photographs and of their table, written on demand to test readers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planewise.phantoms.defect import Defect, registering
from planewise.phantoms.retina.retina import Retina
from planewise.phantoms.scanner.dicom import Identity
from planewise.phantoms.scanner.photograph import PhotographFile

#: Flaws in the APTOS layout by name, in listing order.
APTOS_DEFECTS: dict[str, Defect] = {}

_defect = registering(APTOS_DEFECTS)

Files = list[PhotographFile]


@_defect("a text file with a photograph's name")
def text(files: Files, exam: Retina, identity: Identity) -> Files:
    return [replace(file, content=b"This photograph is not available.\n") for file in files]


@_defect("truncated in the middle of the pixels")
def truncated(files: Files, exam: Retina, identity: Identity) -> Files:
    return [replace(file, content=file.encoded()[: len(file.encoded()) // 2]) for file in files]


@_defect("an empty file")
def empty(files: Files, exam: Retina, identity: Identity) -> Files:
    return [replace(file, content=b"") for file in files]


@_defect("a thumbnail, 32 pixels wide")
def tiny(files: Files, exam: Retina, identity: Identity) -> Files:
    return [replace(file, pixels=np.ascontiguousarray(_thinned(file.pixels, 32))) for file in files]


@_defect("in shades of grey")
def grey(files: Files, exam: Retina, identity: Identity) -> Files:
    return [replace(file, pixels=file.pixels[..., 1].copy()) for file in files]


@_defect("with an alpha channel, as in screenshots")
def opacity(files: Files, exam: Retina, identity: Identity) -> Files:
    return [replace(file, pixels=np.dstack([file.pixels, np.full_like(file.pixels[..., 0], 255)])) for file in files]


@_defect("black everywhere: the shutter stayed closed")
def black(files: Files, exam: Retina, identity: Identity) -> Files:
    return [replace(file, pixels=np.zeros_like(file.pixels)) for file in files]


@_defect("macOS' hidden file (._*) next to it, as in archives")
def hidden(files: Files, exam: Retina, identity: Identity) -> Files:
    mac = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "
    return [*files, *(replace(file, name=f"._{file.name}", content=mac) for file in files)]


@_defect("the same file again under another name, as in the real set")
def twice(files: Files, exam: Retina, identity: Identity) -> Files:
    return [*files, *(replace(file, name=f"9{file.name[1:]}") for file in files)]


@_defect("no row in the table")
def no_row(files: Files, exam: Retina, identity: Identity) -> Files:
    return files  # only the table changes


@_defect("a row in the table, but no file")
def no_file(files: Files, exam: Retina, identity: Identity) -> Files:
    return []


@_defect("a word instead of the grade in the table")
def no_grade(files: Files, exam: Retina, identity: Identity) -> Files:
    return files  # only the table changes


@_defect("the table's names have lost their zeros, as in spreadsheets")
def plain_numbers(files: Files, exam: Retina, identity: Identity) -> Files:
    return files  # only the table changes


def _thinned(pixels: np.ndarray, width: int) -> np.ndarray:
    step = max(1, pixels.shape[1] // width)
    return pixels[::step, ::step][:, :width]
