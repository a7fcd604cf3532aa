"""Pictures for the repository, which keeps each of them forever: few colours, and no wider than a page."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

#: Largest width, pixels.
_WIDTH = 1200
#: Greys and colours of the palette.
_GREYS, _COLOURS = 32, 48
#: A pixel is coloured if its channels differ by more than this.
_COLOURED = 24


def small_png(png: bytes) -> bytes:
    """The same picture as a small PNG.

    Args:
        png: content of a PNG file.

    Returns:
        Content of a PNG file with a palette; 1200 pixels wide at most.
    """
    buffer = io.BytesIO()
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.thumbnail((_WIDTH, 4 * _WIDTH))
    image.quantize(palette=_palette(np.asarray(image)), dither=Image.Dither.NONE).save(
        buffer, format="png", optimize=True
    )
    return buffer.getvalue()


def _palette(pixels: np.ndarray) -> Image.Image:
    """A palette of evenly spaced greys and of the colours that most resemble the coloured pixels. Pillow's own palette
    tints grey images, or spends all its colours on greys, so that the blue of a small structure turns green."""
    chosen = [(level,) * 3 for level in np.linspace(0, 255, _GREYS).round().astype(int).tolist()]
    coloured = pixels[np.ptp(pixels, axis=2) > _COLOURED]
    if len(coloured):
        few = Image.fromarray(coloured[None]).quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE)
        chosen += [colour for colour in few.convert("RGB").getcolors(few.width) for colour in colour[1:]]
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in chosen for value in colour])
    return palette
