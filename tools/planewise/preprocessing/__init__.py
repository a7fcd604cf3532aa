"""Loaders and deterministic transforms of one item: everything that a cache of preprocessed images depends on."""

from planewise.preprocessing.cardiac_features import FEATURES, CardiacFeaturesd, RequirePhased, cardiac_features
from planewise.preprocessing.in_plane_spacing import InPlaneSpacingd
from planewise.preprocessing.intensities import ScaleToUnitd, StandardizeSliced
from planewise.preprocessing.keep_heart import KeepHeartd
from planewise.preprocessing.limit_slices import LimitSlicesd
from planewise.preprocessing.load_photograph import LoadPhotographd, ReadGraded
from planewise.preprocessing.load_slice import LoadSliced
from planewise.preprocessing.load_stack import LoadStackd
from planewise.preprocessing.load_volume import LoadVolumed
from planewise.preprocessing.orient_sagittal import OrientSagittald
from planewise.preprocessing.require_view import RequireViewd
from planewise.preprocessing.resize_sides import CropToForegroundd, ResizeSidesd
