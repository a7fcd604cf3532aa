"""Compute the inputs and targets of a pretext for an item or a batch, from geometry or from the image itself."""

from planewise.pretexts.corrupt_images import CorruptImagesd
from planewise.pretexts.crossing_planes import CrossingPlanesd
from planewise.pretexts.exemplar_views import ExemplarViewsd
from planewise.pretexts.jigsaw_tiles import JigsawTilesd
from planewise.pretexts.mask_patches import MaskPatchesd
from planewise.pretexts.overlapping_patches import OverlappingPatchesd
from planewise.pretexts.permutations import choose_permutations
from planewise.pretexts.plane_squares import PlaneSquaresd
from planewise.pretexts.plane_targets import PlaneHeatmapsd, SliceLocationd
from planewise.pretexts.relative_patches import RelativePatchesd
from planewise.pretexts.rotation_targets import RotationTargetsd
from planewise.pretexts.select_planes import SelectPlanesd
from planewise.pretexts.slice_pairs import SlicePairsd, SlicePositiond
from planewise.pretexts.two_views import TwoViewsd
