"""The solids of a knee joint: bones, cartilage, menisci and cruciate ligaments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planewise.workshop.phantoms.knee.knee import Knee, Tear
from planewise.workshop.phantoms.knee.population import KneeShape
from planewise.workshop.phantoms.painting import Coordinates, ellipsoid, rounded, tube

#: Thickness of the articular cartilage, mm.
CARTILAGE = {"femur": 2.4, "tibia": 2.4, "patella": 3.6}


def joined(first: np.ndarray, second: np.ndarray, radius: float) -> np.ndarray:
    """Depth inside the union of two solids, with the crease between them filled, mm."""
    return -rounded(-first, -second, radius)


def oval(u: np.ndarray, v: np.ndarray, across: np.ndarray | float, along: np.ndarray | float) -> np.ndarray:
    """Approximate depth inside an ellipse around the origin, mm. Its half axes may vary from point to point."""
    u, v = u / across, v / along
    total = np.sqrt(u * u + v * v) + np.float32(1e-4)
    slope = np.sqrt((u / across) ** 2 + (v / along) ** 2) + np.float32(5e-6)
    return total * (1 - total) / slope


def femur(at: Coordinates, shape: KneeShape) -> tuple[np.ndarray, np.ndarray]:
    """Depths inside the femur, and inside the notch between its condyles, mm, at points in the femur's frame."""
    x, y, z = at
    # the notch is an arch whose roof rises towards the back (Blumensaat's line)
    roof = (np.float32(13) + np.float32(0.85) * (3 - y) - z) * np.float32(0.76)
    notch = rounded(np.float32(shape.notch_width) - np.abs(x), roof, 6)
    lateral = np.clip(x * np.float32(1 / 20) + np.float32(0.5), 0, 1)
    medial = 1 - lateral
    length = np.float32(shape.condyle_length)
    ahead = np.clip((y - 4) * np.float32(1 / 16), 0, 1)
    # in profile, a condyle has a round back and a longer, flatter front
    back = np.float32(19.5) + np.float32(shape.medial_back) / 2 * medial
    back = back - np.hypot(y - (np.float32(-14.5) * length - np.float32(shape.medial_back) / 2 * medial), z - 22)
    groove = np.float32(shape.groove) * np.exp(-(((x - 1) * np.float32(1 / 9.5)) ** 2)) * ahead
    facet = 2.2 * np.clip((x - 6) * np.float32(1 / 10), 0, 1) * ahead
    front = oval(y - 5, z - 25, 24.5 * length, np.float32(22.6)) - groove + facet
    profile = joined(back, front, 5)
    # from below, the condyles form a trapezium, narrower in front; above, they taper into the shaft
    width = np.float32(40) - 11 * np.clip((y - 2) * np.float32(1 / 26), 0, 1) - 0.55 * np.maximum(z - 30, 0)
    width = width - 0.10 * np.maximum(16 - z, 0)
    condyles = rounded(profile, width - np.abs(x), 10)
    condyles = rounded(condyles, -notch, 3)
    narrow = np.clip((82 - z) * np.float32(1 / 52), 0, 1) ** 2
    shaft = oval(x - 1, y - (6 - 5 * narrow), 14.5 + 19 * narrow, 14 + 6 * narrow)
    return joined(condyles, np.minimum(shaft, z - 24), 6), notch


def tibia(at: Coordinates, shape: KneeShape) -> tuple[np.ndarray, np.ndarray]:
    """Depth inside the tibia, and height above its plateau, mm, at points in the tibia's frame."""
    x, y, z = at
    above = z - plateau(x, y, shape)
    wide = np.clip((z + 62) * np.float32(1 / 54), 0, 1)
    wide = wide * np.sqrt(wide)
    outline = oval(x, y - (-1 - 6 * wide), 13.5 + 24 * wide, 17 + 8.5 * wide)
    # the back has a dent between the condyles, where the posterior cruciate ligament ends
    dent = ellipsoid(at, (0, -39, 2), (10, 10, 13))
    body = rounded(rounded(outline, -above * np.float32(0.97), 3.5), -dent, 3)
    return joined(body, ellipsoid(at, (4, 16.5, -39), (10, 7.5, 14)), 6), above


def plateau(x: np.ndarray, y: np.ndarray, shape: KneeShape) -> np.ndarray:
    """Height of the tibia's bone under the joint, mm."""
    level = np.float32(-2.6) + np.float32(shape.slope) * (y + 5)
    spread = np.exp(-(((y + 7) * np.float32(1 / 9)) ** 2))
    spines = 9.5 * np.exp(-(((x + 5) * np.float32(1 / 3.6)) ** 2)) + 8 * np.exp(-(((x - 5) * np.float32(1 / 3.8)) ** 2))
    return level + spread * spines


def fibula(at: Coordinates, tibial: np.ndarray) -> np.ndarray:
    """Depth inside the fibula, mm, at points in the tibia's frame. The fibula does not touch the tibia."""
    shaft = tube(at, np.array([[36, -21, -21], [35, -20, -32], [33, -17, -110]]), np.array([8.5, 6.0, 6.0]))
    return np.minimum(shaft, -tibial - 1.5)


def patella(at: Coordinates, knee: Knee) -> np.ndarray:
    """Depth inside the patella, mm, at points in the patella's frame."""
    x, y, z = (part - np.float32(middle) for part, middle in zip(at, knee.patella_centre, strict=True))
    body = ellipsoid((x, y + 2, z), (0, 0, 0), (22.5, 13, 21))
    # at the back, two facets meet in a ridge; the lower pole has no cartilage and tapers to a tip
    facets = y + 9.5 - np.float32(0.34) * np.abs(x + 1)
    tip = 22 - np.abs(x) - 0.9 * np.maximum(-z - 4, 0)
    return rounded(rounded(body, facets * np.float32(0.94), 3), tip * np.float32(0.75), 5)


#: A meniscus has the shape of a C that is open towards the notch. The opening spans all directions from the centre
#: whose cosine with the direction of the notch is larger than this.
OPEN = 0.72


@dataclass(frozen=True)
class MeniscusPoints:
    """Points in a meniscus' own coordinates, mm."""

    depth: np.ndarray  # inside the whole wedge
    inward: np.ndarray  # distance from the rim
    height: np.ndarray  # above the lower surface
    along: np.ndarray  # angle along the C as in `Tear.towards`, radians
    radius: np.ndarray  # distance from the centre of the C


def meniscus(
    x: np.ndarray, y: np.ndarray, above: np.ndarray, centre: Sequence[float], radii: Sequence[float], inward: float,
    width: float, behind: float, height: float,
) -> MeniscusPoints:  # fmt: skip
    """Convert points from the tibia's frame to the coordinates of a meniscus (see ``populations.yaml``); ``above`` is their
    height above the bone of the plateau, mm."""
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    radius = np.sqrt(dx * dx + dy * dy) + np.float32(1e-3)
    share = np.hypot(dx * np.float32(1 / radii[0]), dy * np.float32(1 / radii[1])) + np.float32(1e-4)
    within = radius / share - radius
    outward = -inward * dx / radius
    wide = np.float32(width) - np.float32(behind) * 0.5 * (dy / radius - 0.2)
    up = above - np.float32(CARTILAGE["tibia"] - 0.2)
    # the factor 0.85 accounts for the slope of the upper surface, about 30 degrees
    top = (np.float32(height) * (1 - within / wide) - up) * np.float32(0.85)
    depth = np.minimum(np.minimum(within, top), np.minimum(up, (np.float32(OPEN) + outward) * radius))
    return MeniscusPoints(depth, within, up, np.arctan2(outward, dy / radius), radius)


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
