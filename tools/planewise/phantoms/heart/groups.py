"""The five groups of ACDC, with the ranges of their heart sizes, walls and function."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """Distribution of the hearts of one diagnosis. Pairs are mean and standard deviation.

    The values follow published normal ranges of cine MRI and the inclusion rules of ACDC. Neighbouring groups overlap, so
    that the ten features of the classification forest separate them well, but not perfectly.
    """

    lv_edv: tuple[float, float]
    """End-diastolic volume of the left ventricle, ml per m2 of body surface."""
    lv_ef: tuple[float, float]
    """Ejection fraction of the left ventricle."""
    rv_edv: tuple[float, float]
    rv_ef: tuple[float, float]
    wall: tuple[float, float]
    """End-diastolic thickness of the left ventricle's wall, mm, away from any lesion."""
    lv_ef_range: tuple[float, float]
    """Values outside this range are set to its nearer end."""
    rv_ef_range: tuple[float, float]
    roundness: float = 1.0
    """Width of the left ventricle relative to its volume; a value above 1 makes it rounder."""


GROUPS: dict[str, Group] = {
    "DCM": Group((138, 24), (0.25, 0.075), (92, 22), (0.41, 0.11), (8.7, 1.2), (0.10, 0.41), (0.15, 0.62), 1.06),
    "HCM": Group((73, 13), (0.67, 0.06), (72, 13), (0.62, 0.07), (10.0, 1.3), (0.54, 0.80), (0.45, 0.75)),
    "MINF": Group((98, 20), (0.33, 0.065), (76, 15), (0.53, 0.09), (9.3, 1.2), (0.15, 0.42), (0.30, 0.68)),
    "NOR": Group((76, 12), (0.61, 0.05), (80, 13), (0.57, 0.06), (8.8, 1.1), (0.50, 0.74), (0.44, 0.70)),
    "RV": Group((72, 14), (0.56, 0.08), (122, 23), (0.41, 0.09), (8.9, 1.2), (0.42, 0.72), (0.18, 0.56)),
}
