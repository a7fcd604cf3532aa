"""Populations of heads: every number that decides how they vary and how hard they are."""

from __future__ import annotations

from dataclasses import dataclass

from planewise.phantoms.settings import Settings, setting


@dataclass(frozen=True)
class HeadPopulation(Settings):
    """Spread of heads, tumours and scanners. Single numbers are standard deviations unless they say otherwise; pairs are
    ranges that a value is drawn from evenly."""

    side: int = setting(64, "voxels along each axis")
    field: float = setting(190.0, "side of the block, mm")
    tumour: float = setting(1.0, "share of heads with a tumour; 0 for healthy heads to pretrain on")
    tissues: int = setting(0, "1: a healthy head has a mask of fluid, grey and white matter (1, 2, 3, as FSL-FAST's)")
    low_grade: float = setting(0.26, "share of tumours of low grade, which do not enhance (75 of BraTS' 285)")
    radius: tuple[float, float] = setting((11.0, 21.0), "radius of a tumour's core, mm")
    oedema: tuple[float, float] = setting((4.0, 16.0), "how far the oedema reaches beyond the core, mm")
    lesions: tuple[float, float] = setting((0.0, 6.0), "spots of old age in the white matter, bright in T2 and FLAIR")
    shape: float = setting(0.06, "size of the brain along each axis, as a share of itself")
    turn: float = setting(4.0, "head turned about each axis, degrees")
    shift: float = setting(3.0, "head away from the middle of the block, mm")
    contrast: float = setting(0.07, "every tissue's signal from scanner to scanner, as a share of itself")
    shading: tuple[float, float] = setting((0.02, 0.12), "unevenness of the coil, as a share of the signal")
    noise: tuple[float, float] = setting((0.01, 0.035), "noise as a share of the brightest voxel of a contrast")
    gain: tuple[float, float] = setting((250.0, 1200.0), "voxel value of a signal of one, drawn for each contrast")


#: Heads in BraTS' layout.
HEADS = HeadPopulation()
