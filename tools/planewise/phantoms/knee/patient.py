"""The patient of a knee exam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class KneePatient:
    """Sex, size and side."""

    sex: str
    height: float
    """cm"""
    weight: float
    """kg"""
    left: bool

    @classmethod
    def sample(cls, rng: np.random.Generator, left: float) -> KneePatient:
        """An adult.

        Args:
            rng: source of the draws.
            left: probability of a left knee.
        """
        male = rng.random() < 0.55
        height = np.clip(rng.normal(177, 7) if male else rng.normal(165, 6.5), 148, 202)
        index = np.clip(rng.normal(26, 4), 18, 40)
        return cls(
            sex="M" if male else "F",
            height=float(np.round(height)),
            weight=float(np.round(index * (height / 100) ** 2)),
            left=bool(rng.random() < left),
        )
