"""Convert planes to lines, heatmaps and locations, and back. Pure functions on tensors, without files or MONAI."""

from planewise.geometry.grids import (
    PLANE_ROTATIONS,
    VOLUME_ROTATIONS,
    flip_matrix,
    inverted_pyramids,
    predicted_patches,
    rotate90,
    rotate90_matrix,
    rotation_of_class,
)
from planewise.geometry.lines import (
    clip_lines,
    crossing,
    fit_lines,
    intersection_lines,
    line_errors,
    line_heatmaps,
    pixels_to_patient,
)
from planewise.geometry.planes import (
    base_to_apex,
    centrosymmetric,
    check_affine,
    location_order,
    order_strength,
    plane_from_affine,
    relative_locations,
    square_on_plane,
    to_left_front_or_head,
)
from planewise.geometry.squares import (
    cross_residual,
    end_direction,
    find_squares,
    square_labels,
    square_names,
    squares_inside,
    squares_on_lines,
)
from planewise.geometry.stack_planes import (
    Bound,
    PlannedPlane,
    SliceLines,
    calibrated_bound,
    find_lines,
    line_centres,
    mean_plane,
    plan_planes,
    plane_errors,
)
from planewise.geometry.tolerances import MIN_BASE_APEX_COSINE, MIN_SPACING, PARALLEL_ANGLE
