"""Cartilage, menisci and cruciate ligaments of a knee."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planewise.phantoms.knee.bones import CARTILAGE
from planewise.phantoms.knee.findings import Findings, Tear
from planewise.phantoms.knee.knee import Knee
from planewise.phantoms.solids import Coordinates, tube


@dataclass(frozen=True)
class Wedge:
    """Size and position of a meniscus on the plateau: a wedge that points inwards from the rim of an ellipse."""

    centre: tuple[float, float]
    radii: tuple[float, float]
    inward: float
    """Sign of x towards the notch"""
    width: float
    """Distance from the rim to the free edge, mm"""
    behind: float
    """Additional width of the posterior horn, mm"""
    height: float
    """Height at the rim, mm"""


MENISCI = {
    True: Wedge((-22.5, -7.0), (16.5, 25.0), 1.0, 10.5, 4.0, 8.0),
    False: Wedge((21.5, -6.5), (16.0, 18.5), -1.0, 11.5, 0.5, 8.0),
}
"""Medial (true) and lateral (false) meniscus"""

#: A meniscus has the shape of a C that is open towards the notch. The opening spans all directions from the centre
#: whose cosine with the direction of the notch is larger than this.
OPEN = 0.72


@dataclass(frozen=True)
class MeniscusPoints:
    """Points in a meniscus' own coordinates, mm."""

    depth: np.ndarray
    """Depth inside the whole wedge"""
    inward: np.ndarray
    """Distance from the rim"""
    height: np.ndarray
    """Height above the lower surface"""
    along: np.ndarray
    """Angle along the C as in `Tear.towards`, radians"""
    radius: np.ndarray
    """Distance from the centre of the C"""


def meniscus(x: np.ndarray, y: np.ndarray, above: np.ndarray, medial: bool) -> MeniscusPoints:
    """Convert points from the tibia's frame to the coordinates of a meniscus.

    Args:
        x, y: coordinates in the tibia's frame, mm.
        above: height above the bone of the plateau, mm.
        medial: True for the medial meniscus, False for the lateral one.
    """
    wedge = MENISCI[medial]
    dx, dy = x - np.float32(wedge.centre[0]), y - np.float32(wedge.centre[1])
    radius = np.sqrt(dx * dx + dy * dy) + np.float32(1e-3)
    share = np.hypot(dx * np.float32(1 / wedge.radii[0]), dy * np.float32(1 / wedge.radii[1])) + np.float32(1e-4)
    inward = radius / share - radius
    outward = -wedge.inward * dx / radius
    width = np.float32(wedge.width) - np.float32(wedge.behind) * 0.5 * (dy / radius - 0.2)
    height = above - np.float32(CARTILAGE["tibia"] - 0.2)
    # the factor 0.85 accounts for the slope of the upper surface, about 30 degrees
    top = (np.float32(wedge.height) * (1 - inward / width) - height) * np.float32(0.85)
    depth = np.minimum(np.minimum(inward, top), np.minimum(height, (np.float32(OPEN) + outward) * radius))
    along = np.arctan2(outward, dy / radius)
    return MeniscusPoints(depth, inward, height, along, radius)


def tear_depths(points: MeniscusPoints, tear: Tear) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depths inside the cleft of a tear, inside the missing part of the meniscus, and within the torn length, mm."""
    off = np.abs((points.along - np.float32(tear.towards) + np.pi) % (2 * np.pi) - np.pi) * points.radius
    within = np.float32(tear.reach) - off
    # the cleft starts a third of the way up and reaches the lower surface or the free edge
    steep = np.float32(1 / np.hypot(1, tear.slope))
    across = np.abs(points.height - 2.2 - np.float32(tear.slope) * (5 - points.inward)) * steep
    cleft = np.minimum(np.minimum(np.float32(tear.width / 2) - across, within), points.inward - 1)
    lost = np.minimum(points.inward - np.float32(10.5 - tear.lost), within)
    return cleft, lost if tear.lost > 0 else np.full_like(lost, -1), within


def acl(at: Coordinates, knee: Knee) -> tuple[np.ndarray, np.ndarray]:
    """Depth inside the intact anterior cruciate ligament, mm, and the position along it as a share of its length."""
    start, end = knee.landmarks["acl_femur"], knee.landmarks["acl_tibia"]
    depth = tube(at, np.stack([start, 0.5 * (start + end) + np.array([0, -0.5, -0.8]), end]), np.array([4.0, 3.6, 5.0]))
    along = (end - start).astype(np.float32)
    share = sum((part - np.float32(corner)) * step for part, corner, step in zip(at, start, along, strict=True))
    return depth, share / np.float32(along @ along)


def pcl(at: Coordinates, knee: Knee) -> np.ndarray:
    """Depth inside the posterior cruciate ligament, which bends around the back of the notch, mm."""
    start, end = knee.landmarks["pcl_femur"], knee.landmarks["pcl_tibia"]
    # the straighter the knee, the slacker the ligament
    slack = 1 - 0.5 * knee.shape.flexion / np.radians(25)
    along = np.linspace(0, 1, 6)[:, None]
    bow = np.array([0, -5.0, 8.0]) * slack
    path = start + (end - start) * along + 4 * bow * along * (1 - along) * np.array([1, 1, 1])
    return tube(at, path, np.array([5.5, 5.0, 4.6, 4.4, 4.4, 4.8]))


def gap_depth(share: np.ndarray, findings: Findings, length: float) -> np.ndarray:
    """Depth inside the missing part of a torn ligament, along its course, mm."""
    return (np.float32(findings.acl_gap / 2) - np.abs(share - np.float32(findings.acl_place))) * np.float32(length)
