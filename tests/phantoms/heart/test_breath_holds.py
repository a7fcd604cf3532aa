"""Test that every image of a phantom shows the body where it is in its breath-hold."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.workshop.phantoms import UNLABELLED
from planewise.workshop.phantoms.heart.exam import VIEW_STREAMS, Exam, plan_series, view_files

POPULATION = UNLABELLED.at_size("demo").with_values(phases=1, spacing=(6.0, 6.0))


def test_a_still_patient_scanned_at_the_true_place_gives_the_same_picture():
    breathing = Exam.sample((3, 1, 4), POPULATION.with_values(breath=4.0))
    still = Exam.sample((3, 1, 4), POPULATION.with_values(breath=0.0))
    for series in plan_series(breathing)[::4]:
        # the breath moved the body, so the image shows a point displaced in the opposite direction
        shift = -breathing.breath(series.number)
        assert abs(shift[2]) > 0 and shift[1] == pytest.approx(0.3 * shift[2]) and shift[0] == 0
        seen = breathing.images(series.pose, series.number)
        assert np.array_equal(seen, still.images(series.pose.moved(shift), series.number))


def test_slices_of_nifti_volumes_have_theirs():
    exam = Exam.sample((3, 1, 4), POPULATION.with_values(breath=4.0))
    still = replace(exam, scanner=replace(exam.scanner, breath=0.0))
    (file,) = view_files(exam, "sax", None, "sax")
    for rank in (0, len(exam.poses["sax"]) - 1):
        moved = still.images(exam.poses["sax"][rank].moved(-exam.breath(VIEW_STREAMS["sax"] + rank)), rank)
        assert np.array_equal(file.volume[:, :, rank, 0], moved[0].T)
