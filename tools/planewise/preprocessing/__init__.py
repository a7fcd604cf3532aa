"""Loaders and deterministic transforms of one item: everything that a cache of preprocessed images depends on."""

from planewise.preprocessing.cardiac_features import FEATURES, CardiacFeaturesd, RequirePhased, cardiac_features
from planewise.preprocessing.intensities import KeepHeartd, ScaleToUnitd, StandardizeSliced
from planewise.preprocessing.load_slice import LoadSliced
from planewise.preprocessing.load_stack import LoadStackd
from planewise.preprocessing.load_volume import LoadPhotographd, LoadVolumed, ReadGraded
from planewise.preprocessing.resample import CropToForegroundd, InPlaneSpacingd, LimitSlicesd, ResizeSidesd
from planewise.preprocessing.views import OrientSagittald, RequireViewd
