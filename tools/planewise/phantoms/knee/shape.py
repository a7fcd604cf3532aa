"""The shape of a knee: its size, and its deviations from the average knee."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planewise.phantoms.knee.population import KneePopulation


@dataclass(frozen=True)
class KneeShape:
    """Deviations from the average knee. Lengths are in mm of the average knee; ``scale`` stretches the whole knee."""

    scale: float
    flexion: float
    """Angle between femur and tibia, radians"""
    medial_back: float
    """Additional length of the medial condyle towards the back, compared with the lateral condyle; it rotates the posterior
    condylar line
    """
    condyle_length: float
    """Factor on the extent of the condyles from front to back"""
    notch_width: float
    """Half width of the intercondylar notch"""
    groove: float
    """Depth of the trochlear groove"""
    slope: float
    """Slope of the plateau towards the back, per mm"""
    patella_height: float
    """Displacement of the patella upwards"""
    patella_side: float
    """Displacement of the patella to the lateral side"""
    bulk: float
    """Factor on the muscles' thickness"""
    fat: float
    """Thickness of the fat under the skin"""

    @classmethod
    def sample(cls, rng: np.random.Generator, population: KneePopulation, height: float) -> KneeShape:
        """Sample a shape; tall patients have large knees.

        Args:
            rng: generator of the shape.
            population: the population, which determines the spread.
            height: height of the patient, cm.
        """
        spread = population.shape * np.clip(rng.standard_normal(10), -2, 2)
        return cls(
            scale=float(np.clip(height / 173 * np.exp(0.035 * spread[0]), 0.82, 1.18)),
            flexion=float(np.radians(rng.uniform(*population.flexion))),
            medial_back=float(2.0 + 1.0 * spread[1]),
            condyle_length=float(np.exp(0.03 * spread[2])),
            notch_width=float(9.5 + 0.7 * spread[3]),
            groove=float(5.5 + 0.9 * spread[4]),
            slope=float(0.11 + 0.025 * spread[5]),
            patella_height=float(3.5 * spread[6]),
            patella_side=float(2.0 + 1.5 * spread[7]),
            bulk=float(np.exp(0.12 * spread[8])),
            fat=float(rng.uniform(*population.fat)),
        )
