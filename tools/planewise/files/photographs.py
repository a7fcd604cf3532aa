"""Recognise photographs, as PNG or JPEG, by their names and headers, and say why one cannot be used."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from planewise.findings import Finding, finding

#: Endings of photographs' file names.
ENDINGS = (".png", ".jpg", ".jpeg")
#: A photograph whose shorter side has fewer pixels is a thumbnail.
MIN_SIDE = 64
#: Why a file is not used: another kind of file, an image that ends early, or one that Pillow cannot open.
NO_PHOTOGRAPH, CUT, UNREADABLE = (
    finding("photo-unusable", kind="no-photograph"),
    finding("file-unusable", kind="truncated"),
    finding("photo-unusable", kind="unreadable"),
)


def is_photograph(path: str | Path) -> bool:
    """Whether a file is a photograph by its name."""
    return str(path).lower().endswith(ENDINGS)


def photograph_problem(path: Path) -> Finding | None:
    """Why a file cannot be used as a photograph; None if it can. Its pixels are not read."""
    try:
        if not path.stat().st_size:
            return finding("file-unusable", kind="empty")
        with warnings.catch_warnings():
            # Pillow warns at half of its limit
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                mode, sides = image.mode, image.size
    except UnidentifiedImageError:
        return NO_PHOTOGRAPH
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError):  # Pillow raises SyntaxError for broken PNG
        return UNREADABLE
    if min(sides) < MIN_SIDE:
        return finding("photo-unusable", kind="thumbnail", least=MIN_SIDE)
    return colour_problem(mode)


def colour_problem(mode: str) -> Finding | None:
    """Why a photograph with this colour mode of Pillow cannot be used; None if it can."""
    return None if mode == "RGB" else finding("photo-unusable", kind="colours", mode=mode)
