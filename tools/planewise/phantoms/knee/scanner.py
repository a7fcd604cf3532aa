"""A knee scanner with its protocols: matrix, slices and signal of each sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planewise.phantoms.knee.contrast import SUPPRESSED, WEIGHTINGS, KneeContrast
from planewise.phantoms.knee.population import KneePopulation


@dataclass(frozen=True)
class Protocol:
    """One sequence of a scanner."""

    weighting: str
    """A key of `WEIGHTINGS`"""
    spacing: float
    """mm, the same along rows and columns"""
    matrix: tuple[int, int]
    """Columns and rows"""
    thickness: float
    gap: float
    """mm between slices"""
    contrast: KneeContrast
    unsuppressed: float
    """Signal of fat where fat suppression fails"""
    count: int | None = None
    """Number of slices of a stack; None means as many as are needed to cover the knee"""

    @property
    def distance(self) -> float:
        """Distance between centres of neighbouring slices, mm."""
        return self.thickness + self.gap


@dataclass(frozen=True)
class KneeScanner:
    """Scan settings of one exam."""

    protocols: dict[str, Protocol]
    """``sagittal``, ``sagittal_plain``, ``coronal``, ``axial``"""
    noise: float
    """Share of the brightest tissue's signal"""
    shading: float
    blur: float
    gain: float
    """Pixel value of the brightest tissue"""
    field_strength: float
    """tesla"""
    feet_first: bool

    @classmethod
    def sample(cls, rng: np.random.Generator, population: KneePopulation) -> KneeScanner:
        """Sample a scanner with its protocols; each sequence has its own matrix and slices."""
        weightings = {
            "sagittal": "t2_fs",
            "sagittal_plain": "pd",
            "coronal": str(rng.choice(["pd_fs", "t1", "pd"], p=[0.6, 0.25, 0.15])),
            "axial": str(rng.choice(["t2_fs", "pd_fs"])),
        }
        field = rng.uniform(*population.field)
        protocols = {}
        for name, weighting in weightings.items():
            side = field * (1.0 if name.startswith("sagittal") else rng.uniform(0.92, 1.05))
            spacing = rng.uniform(*population.spacing)
            # scanners reconstruct matrices that are multiples of four
            matrix = population.matrix or int(4 * np.round(side / spacing / 4))
            thickness, gap = population.slices[rng.integers(len(population.slices))]
            count = None
            if not name.startswith("sagittal"):
                # an odd number, so that there is a middle slice
                low, high = (int(value) // 2 for value in population.across)
                count = 2 * int(rng.integers(low, high + 1)) + 1
                distance = round(rng.uniform(*population.span) / (count - 1), 2)
                thickness = min(thickness, round(0.95 * distance, 1))
                gap = round(distance - thickness, 2)
            protocols[name] = Protocol(
                weighting=weighting,
                spacing=round(side / matrix, 4),
                matrix=(matrix, matrix),
                thickness=thickness,
                gap=gap,
                contrast=WEIGHTINGS[weighting].varied(rng, population.contrast),
                unsuppressed=float(rng.uniform(*population.suppression)) if weighting in SUPPRESSED else 0.0,
                count=count,
            )
        return cls(
            protocols=protocols,
            noise=float(rng.uniform(*population.noise)),
            shading=float(rng.uniform(*population.shading)),
            blur=float(rng.uniform(*population.blur)),
            gain=float(rng.uniform(*population.gain)),
            field_strength=float(rng.choice([1.5, 3.0])),
            feet_first=bool(rng.random() < 0.7),
        )
