"""Test the properties of an oblique stack with numbers worked out by hand."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from planewise.exams.stack import Slice
from planewise.findings import finding

from tests.exams.hearts import make_frame, make_stack
from tests.exams.told import codes

#: Unit vectors that are not parallel to any body axis: a row of the images, a column, and the normal.
ROW, COLUMN, NORMAL = np.array([2, 1, 2]) / 3, np.array([-2, 2, 1]) / 3, np.array([-1, -2, 2]) / 3


def oblique(origins, columns=5, rows=9):
    """A stack of slices with the given origins (N, 3), and voxels of 3 mm along rows and 1.5 mm along columns."""
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = 3 * ROW, 1.5 * COLUMN, NORMAL
    slices = []
    for origin in np.asarray(origins, float):
        own = affine.copy()
        own[:3, 3] = origin
        slices.append(Slice(float(origin @ NORMAL), own, [make_frame(affine=own.tolist())], ("", 0, 0, ()), "1"))
    return replace(
        make_stack([[0, 0, 0]], NORMAL), slices=slices, normal=NORMAL, columns=columns, rows=rows, in_plane=(3.0, 1.5)
    )


#: Images of 240 x 240 mm, as a scanner has them.
wide = partial(oblique, columns=80, rows=160)


def test_gaps_are_along_the_normal_though_slices_are_shifted_in_plane():
    stack = oblique([0 * NORMAL, 8 * NORMAL + 5 * ROW, 18 * NORMAL - 40 * COLUMN])
    assert stack.gaps == pytest.approx([8, 10])


def test_only_gaps_and_images_that_stand_out_are_doubted():
    regular = [10 * step * NORMAL + step * ROW for step in range(6)]
    assert wide(regular).doubts == []
    assert wide(regular[:1]).doubts == []
    for origins, low, high in (
        ([*regular[:3], *regular[4:]], 10, 20),
        ([*regular[:3], 24 * NORMAL + 3 * ROW, *regular[4:]], 4, 16),
        ([*regular, 54 * NORMAL + 5 * ROW], 4, 10),
        ([*regular, 56.5 * NORMAL + 5 * ROW], 6.5, 10),
    ):
        assert wide(origins).doubts == [finding("stack-doubtful", low=low, high=high, kind="gaps")]
    # a gap may be one and a half times smaller than the others, but not more
    assert wide([*regular, 57 * NORMAL + 5 * ROW]).doubts == []
    for way in (ROW, COLUMN):
        for far, said in ((9, 0), (11, 1), (-11, 1)):
            moved = wide([*regular[:3], 30 * NORMAL + 3 * ROW + far * way, *regular[4:]])
            assert codes(moved.doubts) == ["stack-doubtful"] * said
    # images that drift by as much as they are apart, and one that does not
    sheared = [10 * step * (NORMAL + COLUMN) for step in range(6)]
    (sheared_by,) = wide(sheared).doubts
    assert sheared_by == finding("stack-doubtful", mm=50, kind="sheared")
    assert len(wide([*sheared[:3], sheared[3] + 11 * ROW, *sheared[4:]]).doubts) == 2


def test_the_angle_between_stacks_does_not_know_front_from_back():
    stack = make_stack([[0, 0, 0]], [0, 0, 1.0])
    for degrees, angle in ((0, 0), (30, 30), (90, 90), (150, 30), (180, 0)):
        turned = make_stack([[0, 0, 0]], [np.sin(np.radians(degrees)), 0, np.cos(np.radians(degrees))])
        assert stack.angle_to(turned) == pytest.approx(angle, abs=1e-5)


def test_slices_are_put_in_order_along_an_axis():
    stack = oblique([0 * NORMAL, 10 * NORMAL, 20 * NORMAL])
    assert [entry.position for entry in stack.in_order(-NORMAL).slices] == pytest.approx([20, 10, 0])
    assert [entry.position for entry in stack.in_order(NORMAL).slices] == pytest.approx([0, 10, 20])
    assert stack.in_order(None) is stack
    assert [entry.position for entry in stack.slices] == pytest.approx([0, 10, 20])
