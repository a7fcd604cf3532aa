"""Conventions and tolerances of the geometry, each defined once.

Everything is in patient space, RAS+, millimetres; angles are radians in the code and degrees for people. An image array
is indexed ``[i, j]``, and its affine maps ``(i, j, 0)``, the centre of a voxel, to patient space.
"""

import math

#: Smallest angle at which two planes have a usable line of intersection. At 5 degrees, an error of 1 mm in the position
#: of a plane already moves the line by 11 mm.
PARALLEL_ANGLE = math.radians(5.0)
#: Smallest pixel spacing, mm. If a column of an affine is shorter, the header contains no pixel spacing.
MIN_SPACING = 1e-3
#: Base and apex are distinguished only if the stack's normal is within 60 degrees of the usual long axis (cosine 0.5).
#: Left ventricles are within about 35 degrees of this axis, which leaves 25 degrees for the tilt of the stack.
MIN_BASE_APEX_COSINE = 0.5
#: Two body axes are equally near to a normal if their angles to it differ by less than this. The planes that technologists
#: prescribe vary by about this angle.
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
#: Volume of ventricles and myocardium together, ml. A newborn's heart exceeds the lower limit; the largest dilated
#: hearts are below the upper limit.
HEART_VOLUMES = (10.0, 2500.0)
