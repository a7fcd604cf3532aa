"""Loaders and deterministic transforms of one item: everything that a cache of preprocessed images depends on."""

from planewise.preprocessing.cardiac_features import FEATURES, CardiacFeaturesd, cardiac_features
from planewise.preprocessing.crop_to_foreground import CropToForegroundd
from planewise.preprocessing.in_plane_spacing import InPlaneSpacingd
from planewise.preprocessing.keep_heart import KeepHeartd
from planewise.preprocessing.limit_slices import LimitSlicesd
from planewise.preprocessing.load_photograph import LoadPhotographd
from planewise.preprocessing.load_slice import LoadSliced
from planewise.preprocessing.load_stack import LoadStackd
from planewise.preprocessing.load_volume import LoadVolumed
from planewise.preprocessing.orient_sagittal import OrientSagittald
from planewise.preprocessing.read_grade import ReadGraded
from planewise.preprocessing.require_phase import RequirePhased
from planewise.preprocessing.resize_sides import ResizeSidesd
from planewise.preprocessing.scale_to_unit import ScaleToUnitd
from planewise.preprocessing.standardize import StandardizeSliced

__all__ = [
    "FEATURES",
    "CardiacFeaturesd",
    "CropToForegroundd",
    "InPlaneSpacingd",
    "KeepHeartd",
    "LimitSlicesd",
    "LoadPhotographd",
    "LoadSliced",
    "LoadStackd",
    "LoadVolumed",
    "OrientSagittald",
    "ReadGraded",
    "RequirePhased",
    "ResizeSidesd",
    "ScaleToUnitd",
    "StandardizeSliced",
    "cardiac_features",
]
