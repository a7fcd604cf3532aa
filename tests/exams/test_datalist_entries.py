"""Test the datalist's entries for a stack and its images, with handwritten stacks."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.exams.datalist import plane_of, slice_items, stack_summary

from tests.exams.hearts import make_stack
from tests.exams.test_stack import NORMAL, oblique


def test_a_summary_gives_the_usual_gap_and_the_extremes():
    places = [place * NORMAL for place in (0, 8, 16, 40, 64)]
    stack = replace(oblique(places), in_plane=(3.0, 1.5), thickness=7.0)
    stack.slices[1].phases *= 4
    assert stack_summary(stack, "sax", 0.87654) == {
        "view": "sax",
        "slices": 5,
        "phases": [1, 4],
        "matrix": [5, 9],
        "pixel": [3.0, 1.5],
        "confidence": 0.877,
        "runners_up": {},
        "thickness": 7.0,
        "spacing": 8.0,
        "spacing_range": [8.0, 24.0],
    }


def test_a_phase_is_a_share_of_the_cycle():
    """The last of four phases is at three quarters, because the cycle ends where it begins."""
    items = slice_items(make_stack([[0, 0, 0]], [0, 0, 1.0], phases=4), located=False)
    assert [item["phase"] for item in items] == [0, 0.25, 0.5, 0.75]


def test_locations_are_shares_of_the_distance_not_of_the_slices():
    stack = oblique([0 * NORMAL, 8 * NORMAL, 32 * NORMAL])
    assert [item["location"] for item in slice_items(stack, located=True)] == pytest.approx([0, 0.25, 1])
    assert all("location" not in item for item in slice_items(stack, located=False))


def test_the_plane_of_a_slice():
    plane = plane_of(oblique([[1, 2, 3], [4, 5, 6]]), 1)
    assert plane["origin"] == [4, 5, 6]
    assert plane["normal"] == pytest.approx(list(NORMAL))
    assert np.linalg.norm(plane["normal"]) == pytest.approx(1)
