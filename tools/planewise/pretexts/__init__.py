"""What a pretext makes of an item or a batch: its targets, from geometry."""

from planewise.pretexts.crossing_planes import CrossingPlanesd
from planewise.pretexts.plane_squares import PlaneSquaresd
from planewise.pretexts.plane_targets import PlaneHeatmapsd, SliceLocationd
from planewise.pretexts.select_planes import SelectPlanesd
from planewise.pretexts.two_views import TwoViewsd

__all__ = [
    "CrossingPlanesd",
    "PlaneHeatmapsd",
    "PlaneSquaresd",
    "SelectPlanesd",
    "SliceLocationd",
    "TwoViewsd",
]
