"""Test that a canvas paints as `paint` does, and that frames share one picture."""

import numpy as np
from planewise.phantoms.canvas import Canvas
from planewise.phantoms.solids import paint


def _points(*values):
    return tuple(np.array(values, dtype=np.float32) for _ in range(3))


def test_a_solid_is_painted_on_every_frame_of_the_picture():
    signal = np.full(3, 0.2, dtype=np.float32)
    canvas = Canvas(signal, _points(0, 1, 2), grain=np.zeros(3), coarse=np.zeros(3), contrast=None, edge=2.0)
    moved = canvas.in_frame(_points(5, 6, 7))
    np.testing.assert_array_equal(moved.at[0], [5, 6, 7])
    depth = np.array([-2, 0.5, 3], dtype=np.float32)
    moved.paint(depth, 1.0)
    # half a pixel inside means three quarters painted, because the border fades over one pixel of 2 mm
    np.testing.assert_allclose(canvas.signal, [0.2, 0.8, 1.0], atol=1e-6)
    wanted = np.full(3, 0.2, dtype=np.float32)
    paint(wanted, depth, 1.0, 2.0)
    np.testing.assert_array_equal(signal, wanted)
