"""Test that the upper bound in the study of knees reads the pixels of the structures that tear."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planewise.phantoms import KNEE_LABELLED, KneeExam

from tools.studies.knee_signal import areas, brightness

POPULATION = replace(KNEE_LABELLED, severity=2.0).at_size("demo")


def seen(findings: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Knees of equal brightness that differ only in their findings."""
    return brightness(KneeExam.sample((5, 6, 7), replace(POPULATION, findings=findings)))


def test_a_tear_is_read_where_it_is():
    intact, ligament, meniscus = (seen(tuple(float(kind == place) for place in range(5))) for kind in (0, 2, 3))
    assert ligament["acl"][0] > intact["acl"][0] + 0.5, "the mean inside the ligament"
    assert meniscus["acl"][0] == pytest.approx(intact["acl"][0], abs=0.3)
    # for the mean and the 90th percentile, and for the medial and the lateral meniscus
    brighter = [(after["meniscus"] - intact["meniscus"])[[0, 3, 5, 8]].max() for after in (ligament, meniscus)]
    assert brighter[1] > brighter[0] + 0.3


def test_areas_are_of_the_exams_that_no_draw_has():
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 50)
    shown = labels[:, None] + 0.01 * rng.standard_normal((100, 2))
    assert areas(shown, labels, 10, 3) == [1.0] * 3
    hidden = np.where(np.arange(100)[:, None] < 60, shown, 1 - shown)  # the test exams have the opposite signal
    assert areas(hidden, labels, 10, 3) == [0.0] * 3
    assert areas(shown, np.arange(100) // 60, 10, 3) == [], "one label alone teaches nothing"
