"""Compute the inputs and targets of a pretext for an item or a batch, from geometry or from the image itself."""

from planewise.pretexts.pieces import JigsawTilesd, OverlappingPatchesd, RelativePatchesd, choose_permutations
from planewise.pretexts.restoration import CorruptImagesd, MaskPatchesd
from planewise.pretexts.targets import (
    PlaneHeatmapsd,
    PlaneSquaresd,
    RotationTargetsd,
    SelectPlanesd,
    SliceLocationd,
    SlicePairsd,
    SlicePositiond,
)
from planewise.pretexts.views import ExemplarViewsd, TwoViewsd
