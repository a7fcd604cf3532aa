"""Planes to lines, heatmaps and locations, and back. Pure functions on tensors: no files, no MONAI."""

from planewise.geometry.heatmaps import LineFit, fit_lines, line_agreement, line_heatmaps
from planewise.geometry.lines import (
    clip_lines,
    crossing,
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
from planewise.geometry.planes import (
    angle_between_planes,
    check_affine,
    fit_plane,
    plane_from_affine,
    signed_distance,
)
from planewise.geometry.square_centres import FoundSquares, cross_residual, find_squares
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
    line_centres,
    plan_planes,
    plane_errors,
)
from planewise.geometry.tolerances import (
    AXIS_MARGIN,
    MIN_BASE_APEX_COSINE,
    MIN_END_COSINE,
    MIN_SPACING,
    PARALLEL_ANGLE,
)

__all__ = [
    "AXIS_MARGIN",
    "MIN_BASE_APEX_COSINE",
    "MIN_END_COSINE",
    "MIN_SPACING",
    "PARALLEL_ANGLE",
    "SQUARE_STEPS",
    "FoundSquares",
    "LineFit",
    "PlannedPlane",
    "SliceLines",
    "Squares",
    "angle_between_planes",
    "base_to_apex",
    "centrosymmetric",
    "check_affine",
    "clip_lines",
    "cross_residual",
    "crossing",
    "end_direction",
    "find_lines",
    "find_squares",
    "fit_lines",
    "fit_plane",
    "intersection_lines",
    "line_agreement",
    "line_centres",
    "line_errors",
    "line_heatmaps",
    "lines_in_mm",
    "location_order",
    "order_strength",
    "pixels_to_patient",
    "plan_planes",
    "plane_errors",
    "plane_from_affine",
    "plane_from_lines",
    "relative_locations",
    "signed_distance",
    "square_labels",
    "square_names",
    "squares_inside",
    "squares_on_lines",
    "to_left_front_or_head",
]
