"""Pictures for the repository, which keeps each of them forever: few colours, and no wider than a page."""

from __future__ import annotations

import io

from PIL import Image

#: Largest width, pixels, and number of colours.
_WIDTH, _COLOURS = 1200, 128


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
    # the default method uses all colours for a grey image and turns the blue of a small structure green
    image.quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE).save(buffer, format="png", optimize=True)
    return buffer.getvalue()
