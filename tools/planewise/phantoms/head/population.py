"""Populations of heads: every number that determines their variation and difficulty."""

from __future__ import annotations

from dataclasses import dataclass

from planewise.phantoms.settings import Settings, setting


@dataclass(frozen=True)
class HeadPopulation(Settings):
    """Spread of heads, tumours and scanners. Unless stated otherwise, a single number is a standard deviation; from a pair
    of numbers, values are drawn uniformly."""

    side: int = setting(64, "voxels along each axis")
    field: float = setting(190.0, "side of the block, mm")
    tumour: float = setting(1.0, "share of heads with a tumour; 0 for healthy heads for pretraining")
    tissues: int = setting(0, "1 gives healthy heads a mask of fluid, grey and white matter (1, 2, 3, as in FSL-FAST)")
    low_grade: float = setting(0.26, "share of low-grade tumours, which do not enhance (75 of 285 in BraTS)")
    radius: tuple[float, float] = setting((11.0, 21.0), "radius of a tumour's core, mm")
    oedema: tuple[float, float] = setting((4.0, 16.0), "distance of the oedema's border from the core, mm")
    lesions: tuple[float, float] = setting(
        (0.0, 6.0), "number of age-related spots in the white matter, bright in T2 and FLAIR"
    )
    shape: float = setting(0.06, "relative variation of the brain's size along each axis")
    turn: float = setting(4.0, "rotation of the head about each axis, degrees")
    shift: float = setting(3.0, "displacement of the head from the middle of the block, mm")
    contrast: float = setting(0.07, "relative variation of each tissue's signal from scanner to scanner")
    shading: tuple[float, float] = setting((0.02, 0.12), "unevenness of the coil, as a share of the signal")
    noise: tuple[float, float] = setting((0.01, 0.035), "noise as a share of the brightest voxel of a contrast")
    gain: tuple[float, float] = setting(
        (250.0, 1200.0), "voxel value that represents a signal of 1, drawn for each contrast"
    )


#: Heads in BraTS' layout.
HEADS = HeadPopulation()
