"""Conventions and tolerances of the geometry, each defined once.

Everything is in patient space, RAS+, millimetres; angles are radians in the code and degrees for people. An image array
is indexed ``[i, j]``, and its affine maps ``(i, j, 0)``, the centre of a voxel, to patient space.
"""

import math

#: Two planes closer than this have no usable line of intersection: at 5 degrees an error of 1 mm in a plane's
#: position already moves the line by 11 mm.
PARALLEL_ANGLE = math.radians(5.0)

#: If a column of an affine is shorter than this (mm), the header has no pixel spacing.
MIN_SPACING = 1e-3

#: Base and apex are distinguished only if the stack's normal is within 60 degrees of the usual long axis (cosine 0.5).
#: Left ventricles are within about 35 degrees of it, which leaves 25 degrees for the stack's own tilt.
MIN_BASE_APEX_COSINE = 0.5

#: Two body axes are equally near to a normal if its angles to them differ by less than this, which is about the spread
#: of a technologist's planes.
AXIS_MARGIN = math.radians(10.0)

#: Eq. (1) is evaluated up to this many sigma. Beyond it, the value is below 1e-13, and float32 ``exp`` becomes an order
#: of magnitude slower (denormal results).
CLAMP_SIGMAS = 7.8

#: The ends of a line (left and right, for example) are distinguished only if the line is within 73 degrees of that
#: direction (cosine 0.3). The lines of hearts and knees reach 0.7 and more, which leaves room for a rotated patient.
MIN_END_COSINE = 0.3
