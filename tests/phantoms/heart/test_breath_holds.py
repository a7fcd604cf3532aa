"""Test that the true shifts of phantoms are those with which their images were made."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.phantoms import UNLABELLED, Exam, true_shifts
from planewise.phantoms.heart.study import plan_series
from planewise.phantoms.heart.volumes import cine_volume

POPULATION = UNLABELLED.at_size("demo").with_values(phases=1, spacing=(6.0, 6.0))


def test_a_still_patient_scanned_at_the_true_place_gives_the_same_picture():
    breathing = Exam.sample((3, 1, 4), POPULATION.with_values(breath=4.0))
    still = Exam.sample((3, 1, 4), POPULATION.with_values(breath=0.0))
    shifts = true_shifts(breathing, dicom=True)
    assert {view for view, _ in shifts} == {"sax", "2ch", "4ch"}
    for series in plan_series(breathing)[::4]:
        shift = shifts[series.view, series.slice]
        assert abs(shift[2]) > 0 and shift[1] == pytest.approx(0.3 * shift[2]) and shift[0] == 0
        seen = breathing.images(series.pose, series.stream)
        assert np.array_equal(seen, still.images(series.pose.moved(shift), series.stream))


def test_slices_of_nifti_volumes_have_theirs():
    exam = Exam.sample((3, 1, 4), POPULATION.with_values(breath=4.0))
    still = replace(exam, scanner=replace(exam.scanner, breath=0.0))
    shifts = true_shifts(exam, dicom=False)
    volume, _ = cine_volume(exam, "sax")
    for rank in (0, len(exam.poses["sax"]) - 1):
        moved = still.images(exam.poses["sax"][rank].moved(shifts["sax", rank]), rank)
        assert np.array_equal(volume[:, :, rank, 0], moved[0].T)
