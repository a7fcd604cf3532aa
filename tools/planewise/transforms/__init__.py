"""MONAI dictionary transforms: they read keys, call the geometry, and write keys."""

from planewise.transforms.cardiac_features import FEATURES, CardiacFeaturesd, cardiac_features
from planewise.transforms.exam_name import exam_of
from planewise.transforms.in_plane_spacing import InPlaneSpacingd
from planewise.transforms.largest_pieces import KeepLargestPiecesd
from planewise.transforms.limit_slices import LimitSlicesd
from planewise.transforms.load_slice import LoadSliced
from planewise.transforms.load_stack import LoadStackd
from planewise.transforms.plan_views import PlanViewsd
from planewise.transforms.planes import ReadPlaned, SelectPlanesd
from planewise.transforms.rand_affine import RandAffineBatchd
from planewise.transforms.standardize import StandardizeSliced
from planewise.transforms.targets import PlaneHeatmapsd, SliceLocationd

__all__ = [
    "FEATURES",
    "CardiacFeaturesd",
    "InPlaneSpacingd",
    "KeepLargestPiecesd",
    "LimitSlicesd",
    "LoadSliced",
    "LoadStackd",
    "PlanViewsd",
    "PlaneHeatmapsd",
    "RandAffineBatchd",
    "ReadPlaned",
    "SelectPlanesd",
    "SliceLocationd",
    "StandardizeSliced",
    "cardiac_features",
    "exam_of",
]
