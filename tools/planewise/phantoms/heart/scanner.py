"""A scanner with its protocol: matrix, slices, timing and signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planewise.errors import InputError
from planewise.phantoms.heart.contrast import Contrast
from planewise.phantoms.heart.population import Population

#: Minimum number of pixels on the shorter side of an image; real scanners reconstruct 64 or more.
_SMALLEST = 16


@dataclass(frozen=True)
class Scanner:
    """Scan settings of one exam."""

    spacing: float
    """mm, the same along rows and columns"""
    matrix: tuple[int, int]
    """Columns and rows of a short-axis image"""
    thickness: float
    gap: float
    """mm between slices"""
    phases: int
    interval: float
    """Length of the heart's cycle, ms"""
    noise: float
    """Share of the blood's signal"""
    shading: float
    blur: float
    """Share of a pixel's signal that its neighbours receive"""
    gain: float
    """Pixel value of blood"""
    field_strength: float
    """tesla"""
    breath: float
    """Spread of the heart's height between breath-holds, mm"""
    contrast: Contrast
    whole_slices: float = 0.0
    """See `Population`"""

    @property
    def distance(self) -> float:
        """Distance between centres of neighbouring slices, mm."""
        return self.thickness + self.gap

    @classmethod
    def sample(cls, rng: np.random.Generator, population: Population) -> Scanner:
        """Sample a scanner and its protocol from a population."""
        spacing = round(rng.uniform(*population.spacing), 4)
        field = rng.uniform(*population.field)
        ratio = rng.uniform(*population.field_ratio)
        thickness, gap = population.slices[rng.integers(len(population.slices))]
        # scanners reconstruct matrices that are multiples of four
        matrix = tuple(int(4 * np.round(side / spacing / 4)) for side in (field, field * ratio))
        if min(matrix) < _SMALLEST:
            raise InputError(
                f"an image needs at least {_SMALLEST} pixels on its shorter side, but a field of {field:.0f} mm has "
                f"{min(matrix)} pixels of {spacing:g} mm; set a smaller spacing or a larger field"
            )
        return cls(
            spacing=spacing,
            matrix=matrix,
            thickness=thickness,
            gap=gap,
            phases=population.phases,
            interval=float(np.round(np.clip(rng.normal(880, 130), 560, 1300))),
            noise=rng.uniform(*population.noise),
            shading=rng.uniform(*population.shading),
            blur=rng.uniform(*population.blur),
            gain=float(rng.uniform(*population.gain)),
            field_strength=float(rng.choice([1.5, 3.0])),
            breath=population.breath,
            contrast=Contrast.sample(rng, population),
            whole_slices=population.whole_slices,
        )
