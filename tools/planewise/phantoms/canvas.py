"""The canvas on which a body is painted: its points, its tissues, and the signal so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from planewise.phantoms.solids import Coordinates, paint

Tissues = TypeVar("Tissues")
"""Signal of each tissue by name: `Contrast` of a heart's scanner, `KneeContrast` of a knee's sequence"""


@dataclass(frozen=True)
class Canvas(Generic[Tissues]):
    """A picture that is painted step by step. All arrays are float32 and have the same shape, with one value per point."""

    signal: np.ndarray
    """The picture so far, relative to the brightest tissue; painters change it in place"""
    at: Coordinates
    """x, y, z of the points, mm, in the body's own frame"""
    grain: np.ndarray
    """Fine texture, standard normal"""
    coarse: np.ndarray
    """Coarse texture, standard normal"""
    contrast: Tissues
    edge: float
    """Pixel size, mm"""

    def paint(self, depth: np.ndarray, value: np.ndarray | float) -> None:
        """Paint a solid over the picture so far (`planewise.phantoms.solids.paint`).

        Args:
            depth: depth of each point inside the solid, mm, negative outside.
            value: signal of the solid.
        """
        paint(self.signal, depth, value, self.edge)

    def in_frame(self, at: Coordinates) -> Canvas[Tissues]:
        """The same picture, with its points in another frame. Painting on either picture changes both."""
        return replace(self, at=at)
