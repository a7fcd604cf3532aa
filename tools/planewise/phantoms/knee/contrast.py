"""Brightness of each tissue of a knee, for one sequence on one scanner."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np


@dataclass(frozen=True)
class KneeContrast:
    """Signal of each tissue in one weighting, relative to the brightest."""

    fluid: float
    fat: float
    marrow: float
    muscle: float
    cartilage: float
    synovium: float
    ligament: float
    """Signal of ligaments, menisci and tendons, which is low because the signal of water in their fibres decays quickly"""
    cortex: float
    vessel: float
    skin: float
    oedema: float

    def varied(self, rng: np.random.Generator, spread: float) -> KneeContrast:
        """The same weighting on another scanner, where every tissue is brighter or darker by a random factor."""
        values = astuple(self)
        factors = np.exp(spread * np.clip(rng.standard_normal(len(values)), -2, 2))
        return KneeContrast(*(value * float(factor) for value, factor in zip(values, factors, strict=True)))


#: Maps each weighting to its signals. ``t2_fs`` and ``pd_fs`` have fat suppression.
WEIGHTINGS: dict[str, KneeContrast] = {
    "t2_fs": KneeContrast(
        fluid=1.0, fat=0.17, marrow=0.15, muscle=0.30, cartilage=0.50, synovium=0.40, ligament=0.05, cortex=0.03,
        vessel=0.45, skin=0.25, oedema=0.72,
    ),
    "pd_fs": KneeContrast(
        fluid=1.0, fat=0.20, marrow=0.18, muscle=0.36, cartilage=0.66, synovium=0.42, ligament=0.08, cortex=0.03,
        vessel=0.5, skin=0.35, oedema=0.74,
    ),
    "pd": KneeContrast(
        fluid=0.82, fat=0.95, marrow=0.80, muscle=0.38, cartilage=0.58, synovium=0.55, ligament=0.09, cortex=0.04,
        vessel=0.3, skin=0.5, oedema=0.58,
    ),
    "t1": KneeContrast(
        fluid=0.26, fat=1.0, marrow=0.86, muscle=0.32, cartilage=0.42, synovium=0.35, ligament=0.09, cortex=0.04,
        vessel=0.15, skin=0.45, oedema=0.40,
    ),
}  # fmt: skip

#: Weightings with fat suppression.
SUPPRESSED = ("t2_fs", "pd_fs")
