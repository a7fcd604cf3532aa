"""Conventions and tolerances of the geometry, each defined once.

Everything is in patient space, RAS+, millimetres; angles are radians in the code and degrees for people. An image array
is indexed ``[i, j]``, and its affine maps ``(i, j, 0)``, the centre of a voxel, to patient space.
"""

import math

#: Smallest angle between planes with a usable line: at 5 degrees, 1 mm in the position of a plane moves it by 11 mm.
PARALLEL_ANGLE = math.radians(5.0)
#: Smallest pixel spacing, mm. If a column of an affine is shorter, the header contains no pixel spacing.
MIN_SPACING = 1e-3
#: Base and apex are distinguished only if the stack's normal is within 60 degrees of the usual long axis (cosine 0.5).
#: Left ventricles are within about 35 degrees of this axis, which leaves 25 degrees for the tilt of the stack.
MIN_BASE_APEX_COSINE = 0.5
#: Two body axes are equally near to a normal up to this angle, by which the planes of technologists vary.
AXIS_MARGIN = math.radians(10.0)
#: Distance from a line, in units of sigma, up to which Eq. (1) is evaluated. Beyond it, the value is below 1e-13, and
#: float32 ``exp`` becomes ten times slower because of denormal results.
CLAMP_SIGMAS = 7.8
#: The two ends of a line are distinguished only if the line is within 73 degrees (cosine 0.3) of the direction that
#: names its first end, such as left. Lines of hearts and knees reach a cosine of 0.7 or more, which leaves room for a
#: rotated patient.
MIN_END_COSINE = 0.3
#: Default of the smallest obliquity of a short-axis stack in the body, degrees.
SHORT_AXIS_OBLIQUITY = 15.0
#: A file whose axes agree with the body axes within this many degrees may have lost its orientation.
NO_ORIENTATION = 0.01
#: Largest accepted angle between a stack's normal and the usual long axis of the left ventricle, degrees. The long axes of
#: hearts are within 35 degrees of it, and 600 phantoms within 27 degrees; the rest allows for the tilt of the stack.
OFF_AXIS = 45.0
#: Volume of ventricles and myocardium together, ml, from a newborn's heart to the largest dilated one.
HEART_VOLUMES = (10.0, 2500.0)
