"""The bones of a knee as solids: femur, tibia, fibula and patella."""

from __future__ import annotations

import numpy as np

from planewise.phantoms.knee.knee import Knee
from planewise.phantoms.knee.shape import KneeShape
from planewise.phantoms.solids import Coordinates, ellipsoid, rounded, tube

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
