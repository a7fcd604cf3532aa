"""Test times and slices in a cine's headers against known numbers."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.workshop.phantoms.heart.exam import Series, series_files
from planewise.workshop.phantoms.painting import ImagePose


@pytest.fixture(scope="module")
def headers(exam):
    """Four phases of one coarse slice: 8 mm thick, 2 mm gap, 900 ms per cycle, seen from the feet."""
    scanner = replace(exam.scanner, thickness=8.0, gap=2.0, interval=900.0, phases=4, spacing=20.0)
    pose = ImagePose(np.array([10.0, 20.0, 30.0]), np.array([-1.0, 0, 0]), np.array([0, -1.0, 0]))
    files = series_files(replace(exam, scanner=scanner), Series("sax", 7, pose, (9, 5)), {})
    return [header for _, header in files]


def test_thickness_and_distance_of_slices(headers):
    assert {float(header.SliceThickness) for header in headers} == {8.0}
    assert {float(header.SpacingBetweenSlices) for header in headers} == {10.0}


def test_trigger_times_divide_the_cycle_into_equal_parts(headers):
    interval = headers[0].NominalInterval
    # every breath-hold has its own heart rate, within 4 %
    assert 864 <= interval <= 936
    times = [float(header.TriggerTime) for header in headers]
    np.testing.assert_allclose(times, np.array([0, 0.25, 0.5, 0.75]) * interval, atol=0.5)
    assert [header.InstanceNumber for header in headers] == [1, 2, 3, 4]
    assert {int(header.CardiacNumberOfImages) for header in headers} == {4}


def test_place_in_lps_millimetres(headers):
    header = headers[0]
    # nine columns 20 mm apart to the left, five rows to the back; the first pixel's centre in RAS+ is (10 + 80, 20 + 40, 30)
    assert (header.Rows, header.Columns, list(header.PixelSpacing)) == (5, 9, [20, 20])
    np.testing.assert_allclose(np.array(header.ImagePositionPatient, float), [-90, -60, 30], atol=1e-6)
    np.testing.assert_allclose(np.array(header.ImageOrientationPatient, float), [1, 0, 0, 0, 1, 0], atol=1e-9)
    # along the normal, which points to the head
    assert float(header.SliceLocation) == pytest.approx(30)
