"""Populations of abdomens: every number that determines their variation and difficulty."""

from __future__ import annotations

from dataclasses import dataclass

from planewise.phantoms.settings import Settings, setting


@dataclass(frozen=True)
class AbdomenPopulation(Settings):
    """Spread of abdomens, tumours and scanners. Unless stated otherwise, a single number is a standard deviation; from a
    pair of numbers, values are drawn uniformly."""

    side: int = setting(64, "voxels along each axis")
    field: float = setting(330.0, "width of the block, mm")
    depth: float = setting(250.0, "the block from back to front, mm")
    height: float = setting(170.0, "the block from feet to head, mm")
    tumour: float = setting(1.0, "share of abdomens with a tumour of the pancreas")
    radius: tuple[float, float] = setting((9.0, 17.0), "radius of a tumour, mm")
    difference: tuple[float, float] = setting(
        (20.0, 50.0), "difference in brightness between the pancreas and its darker tumour, HU"
    )
    thickness: tuple[float, float] = setting((9.0, 14.0), "radius of the pancreas' body, mm")
    fat: tuple[float, float] = setting((8.0, 26.0), "fat under the skin, mm")
    shape: float = setting(0.06, "relative variation of the body's size along each axis")
    scatter: float = setting(5.0, "displacement of every organ from its usual position, mm")
    turn: float = setting(3.0, "rotation of the body about each axis, degrees")
    shift: float = setting(4.0, "displacement of the body from the middle of the block, mm")
    contrast: float = setting(0.08, "relative variation of each organ's enhancement from scan to scan")
    noise: tuple[float, float] = setting((8.0, 22.0), "noise, HU")


#: Abdomens in the layout of the decathlon's pancreas.
ABDOMENS = AbdomenPopulation()
