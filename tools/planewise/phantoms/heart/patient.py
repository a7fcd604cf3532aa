"""The patient in the scanner: sex, size, diagnosis, and the resulting heart volumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planewise.phantoms.heart.groups import GROUPS


@dataclass(frozen=True)
class Patient:
    """One patient. The volumes are targets for building the heart; `Heart.volumes` returns the actual volumes."""

    group: str
    sex: str
    height: float
    """cm"""
    weight: float
    """kg"""
    lv_edv: float
    """ml"""
    lv_ef: float
    rv_edv: float
    """ml"""
    rv_ef: float
    wall: float
    """mm, end-diastolic, away from any lesion"""

    @property
    def body_surface(self) -> float:
        """Body surface area after Mosteller, m2."""
        return float(np.sqrt(self.height * self.weight / 3600))

    @property
    def body_mass_index(self) -> float:
        """Body mass index, kg/m2."""
        return self.weight / (self.height / 100) ** 2

    @classmethod
    def sample(cls, rng: np.random.Generator, group: str) -> Patient:
        """A patient with one of the diagnoses in `GROUPS`."""
        if group not in GROUPS:
            raise ValueError(f"unknown group {group!r}; groups are {', '.join(GROUPS)}")
        spread = GROUPS[group]
        male = rng.random() < 0.6
        height = np.clip(rng.normal(176, 7) if male else rng.normal(163, 6.5), 145, 202)
        index = np.clip(rng.normal(26, 4), 18, 42)
        weight = index * (height / 100) ** 2
        surface = np.sqrt(height * weight / 3600)
        # the volumes of the two ventricles are correlated, because both pump the same blood
        common = rng.standard_normal()
        lv_score, rv_score = 0.6 * common + 0.8 * rng.standard_normal(2)
        sex_factor = 1.04 if male else 0.94
        lv_edv = sex_factor * surface * max(spread.lv_edv[0] + spread.lv_edv[1] * lv_score, 45)
        rv_edv = sex_factor * surface * max(spread.rv_edv[0] + spread.rv_edv[1] * rv_score, 45)
        return cls(
            group=group,
            sex="M" if male else "F",
            height=float(np.round(height)),
            weight=float(np.round(weight)),
            lv_edv=float(lv_edv),
            lv_ef=float(np.clip(rng.normal(*spread.lv_ef), *spread.lv_ef_range)),
            rv_edv=float(rv_edv),
            rv_ef=float(np.clip(rng.normal(*spread.rv_ef), *spread.rv_ef_range)),
            wall=float(np.clip(rng.normal(*spread.wall) + (0.5 if male else -0.5), 5.5, 13)),
        )
