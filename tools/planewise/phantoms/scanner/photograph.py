"""Write phantom photographs as PNG files."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass
class PhotographFile:
    """A photograph before it is written. Defects change it."""

    name: str
    """Name of the file, with its ending"""
    pixels: np.ndarray
    """``(rows, columns, 3)`` uint8; ``(rows, columns)`` for shades of grey; or four channels, of which the last is opacity"""
    content: bytes | None = None
    """Bytes that replace the photograph in the file; None writes the photograph"""

    def encoded(self) -> bytes:
        """The contents of the file."""
        if self.content is not None:
            return self.content
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, "PNG", compress_level=1)
        return file.getvalue()
