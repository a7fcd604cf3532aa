"""Recognise photographs, as PNG or JPEG, by their names and headers, and say why one cannot be used."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from planewise.exams.refusals import EMPTY

#: Endings of photographs' file names.
ENDINGS = (".png", ".jpg", ".jpeg")
#: A photograph whose shorter side has fewer pixels is a thumbnail.
MIN_SIDE = 64

NO_PHOTOGRAPH = "neither PNG nor JPEG, despite its name"
SPREADSHEET = "spreadsheet: save the table of grades as CSV UTF-8"
OTHER_FILE = "neither a photograph (.png, .jpg, .jpeg) nor a table of them (.csv)"
CUT = "truncated: the photograph ends before its pixels do"
THUMBNAIL = f"fewer than {MIN_SIDE} pixels on a side: a thumbnail"
TOO_LARGE = "more pixels than any camera has"

#: Number of bytes at the end of a file in which to search for the end of the image, because programs append notes.
_TAIL = 2**16


def is_photograph(path: str | Path) -> bool:
    """Whether a file is a photograph by its name."""
    return str(path).lower().endswith(ENDINGS)


def open_photograph(path: str | Path) -> Image.Image:
    """Open a PNG or JPEG file and read its header, not its pixels. Pillow raises the errors of a file that it cannot open."""
    with warnings.catch_warnings():
        # Pillow warns at half of its limit
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=("PNG", "JPEG"))


def photograph_problem(path: Path) -> str:
    """The reason why a file cannot be used as a photograph, in words; empty if it can. Its pixels are not read."""
    try:
        size = path.stat().st_size
        if not size:
            return EMPTY
        with open_photograph(path) as image:
            kind, mode, sides = image.format, image.mode, image.size
        with open(path, "rb") as file:
            file.seek(max(0, size - _TAIL))
            tail = file.read()
    except UnidentifiedImageError:
        return NO_PHOTOGRAPH
    except Image.DecompressionBombError:
        return TOO_LARGE
    except (OSError, ValueError, SyntaxError):  # Pillow raises SyntaxError for broken PNG files
        return "photograph that cannot be read"
    if min(sides) < MIN_SIDE:
        return THUMBNAIL
    if (b"IEND" if kind == "PNG" else b"\xff\xd9") not in tail:
        return CUT
    return colour_problem(mode)


def colour_problem(mode: str) -> str:
    """The reason why a photograph with this colour mode of Pillow cannot be used; empty if it can."""
    if mode == "RGB":
        return ""
    known = {
        "L": "shades of grey",
        "1": "black and white",
        "P": "a palette",
        "RGBA": "opacity",
        "CMYK": "printing inks (CMYK)",
    }
    what = known.get(mode, "shades of grey" if mode.startswith(("I", "LA", "F")) else mode)
    return f"photograph with {what}: it must have only red, green and blue; convert it"
