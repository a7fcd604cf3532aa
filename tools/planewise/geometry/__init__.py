"""Convert planes to lines, heatmaps and locations, and back. Pure functions on tensors, without files or MONAI."""

from planewise.geometry.heatmaps import fit_lines, line_agreement, line_heatmaps
from planewise.geometry.lines import (
    clip_lines,
    crossing,
    distances_of_lines,
    intersection_lines,
    line_errors,
    lines_in_mm,
    pixels_to_patient,
    plane_from_lines,
)
from planewise.geometry.locations import (
    base_to_apex,
    centrosymmetric,
    location_order,
    order_strength,
    relative_locations,
    to_left_front_or_head,
)
from planewise.geometry.patch_pyramids import inverted_pyramids, predicted_patches
from planewise.geometry.plane_bounds import Bound, calibrated_bound
from planewise.geometry.planes import (
    affine_inverse,
    angle_between_planes,
    check_affine,
    fit_plane,
    nearest_body_axis,
    plane_from_affine,
    signed_distance,
    square_on_plane,
)
from planewise.geometry.rotations import (
    PLANE_ROTATIONS,
    VOLUME_ROTATIONS,
    flip_matrix,
    rotate90,
    rotate90_matrix,
    rotation_of_class,
)
from planewise.geometry.square_centres import cross_residual, find_squares
from planewise.geometry.squares import (
    SQUARE_STEPS,
    Squares,
    end_direction,
    square_labels,
    square_names,
    squares_inside,
    squares_on_lines,
)
from planewise.geometry.stack_planes import (
    PlannedPlane,
    SliceLines,
    find_lines,
    jackknife_of_plane,
    line_centres,
    mean_plane,
    plan_planes,
    plane_errors,
)
from planewise.geometry.tolerances import (
    MIN_BASE_APEX_COSINE,
    MIN_SPACING,
    PARALLEL_ANGLE,
)
