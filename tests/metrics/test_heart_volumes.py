"""Test volumes over the cardiac cycle on hearts whose voxels can be counted by hand."""

import math

import numpy as np
import pytest
from planewise.metrics.heart_volumes import heart_volumes

STRUCTURES = {1: "RV", 2: "myocardium", 3: "LV"}
#: 2 x 2.5 mm in the plane; slices are 10 mm apart and oblique to the axes: 0.05 ml a voxel
AFFINE = np.array([[0, 2.5, 0, 5], [-2, 0, 0, 7], [0, 0, 10, 9], [0, 0, 0, 1.0]])


def heart(rv, myocardium, lv):
    labels = np.zeros((20, 20, 3), dtype=np.uint8)
    labels.ravel()[:rv], labels.ravel()[rv : rv + myocardium] = 1, 2
    labels.ravel()[rv + myocardium : rv + myocardium + lv] = 3
    return labels


def test_volumes_fractions_and_mass():
    phases = [heart(80, 40, 90), heart(100, 60, 120), heart(40, 50, 30)]
    found = heart_volumes(phases, [AFFINE] * 3, STRUCTURES)
    assert found.volumes["LV"] == pytest.approx([4.5, 6.0, 1.5])
    assert found.volumes["RV"] == pytest.approx([4.0, 5.0, 2.0])
    assert (found.end_diastole, found.end_systole) == (1, 2)
    assert found.ejection_fraction("LV") == pytest.approx(75.0)
    assert found.ejection_fraction("RV") == pytest.approx(60.0)
    assert (found.stroke_volume("LV"), found.stroke_volume("RV")) == pytest.approx((4.5, 3.0))
    assert found.masses == pytest.approx([2.0 * 1.05, 3.0 * 1.05, 2.5 * 1.05])
    assert found.mass == pytest.approx(3.0 * 1.05)


def test_a_heart_without_a_ventricle_has_no_fraction():
    found = heart_volumes([heart(0, 10, 20), heart(0, 10, 10)], [AFFINE] * 2, STRUCTURES)
    assert math.isnan(found.ejection_fraction("RV")) and found.ejection_fraction("LV") == pytest.approx(50.0)


def test_in_an_unevenly_spaced_stack_each_slice_counts_with_its_own_thickness():
    labels = np.zeros((20, 20, 3), dtype=np.uint8)
    labels[:4, :5, 0], labels[:10, :10, 1], labels[:10, :7, 2] = 3, 3, 3
    thickness = np.array([5.0, 7.5, 10.0])
    found = heart_volumes([labels, labels], [AFFINE] * 2, STRUCTURES, thickness=thickness)
    # a voxel covers 5 mm2
    assert found.volumes["LV"] == pytest.approx([5 * (20 * 5 + 100 * 7.5 + 70 * 10) / 1000] * 2)
    assert found.thickness == [5.0, 7.5, 10.0]
    even = heart_volumes([labels], [AFFINE], STRUCTURES, thickness=np.full(3, 10.0))
    assert even.volumes["LV"] == pytest.approx(heart_volumes([labels], [AFFINE], STRUCTURES).volumes["LV"])
