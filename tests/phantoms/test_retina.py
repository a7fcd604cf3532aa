"""Test retinas: a round field, a bright disc, and lesions whose number determines the grade."""

import numpy as np
import pytest
from planewise.workshop.phantoms.retina import LESIONS, RETINAS, Retina

#: Without noise, shading or barely visible lesions.
CLEAR = RETINAS.with_values(
    side=160, noise=(0.0, 0.0), blur=(0.0, 0.0), colour=0.0, shading=(0.0, 0.0), strength=(1.0, 1.0), drusen=0.0
)


def dark(photograph: np.ndarray) -> int:
    """Pixels inside the field that are as dark as blood."""
    red, green, blue = photograph.astype(int).transpose(2, 0, 1)
    return int(((red > 60) & (red < 125) & (green < 35) & (blue < 35)).sum())


def test_the_same_seeds_are_the_same_eye():
    first, again, other = (Retina.sample((0, 9, number), RETINAS) for number in (1, 1, 2))
    assert np.array_equal(first.photograph(), again.photograph()) and first.grade == again.grade
    assert not np.array_equal(first.photograph(), other.photograph())


def test_the_field_is_round_and_black_outside():
    photograph = Retina((0, 9, 4), CLEAR.with_values(zoom=(0.35, 0.35), shift=0.0), 0).photograph()
    assert photograph.shape == (120, 160, 3) and photograph.dtype == np.uint8
    inside = photograph.max(axis=2) > 20
    rows, columns = np.nonzero(inside)
    # a circle of 0.35 widths
    assert abs(np.ptp(rows) - 112) <= 2 and abs(np.ptp(columns) - 112) <= 2
    assert abs(inside.sum() - np.pi * 56**2) < 0.03 * inside.sum()
    # red exceeds green, and green exceeds blue
    assert (np.diff(photograph[inside].mean(axis=0)) < -20).all()


def test_the_disc_is_the_brightest_and_on_either_side():
    sides = set()
    for number in range(8):
        photograph = Retina((0, 9, number), CLEAR.with_values(turn=0.0), 0).photograph()
        row, column = np.unravel_index(photograph.sum(axis=2).argmax(), photograph.shape[:2])
        assert abs(row - 60) < 15 and 20 < abs(column - 80) < 50
        sides.add(column > 80)
    assert sides == {True, False}, "right eyes and left ones"


def test_lesions_make_the_grade():
    for grade in range(5):
        for number in range(20):
            lesions = Retina((0, 9, number), RETINAS, grade).lesions
            assert all(LESIONS[kind][grade][0] <= count <= LESIONS[kind][grade][1] for kind, count in lesions.items())
    # no lesions, microaneurysms only, other lesions, many haemorrhages, new vessels
    kinds = [{kind for kind, ranges in LESIONS.items() if ranges[grade][0]} for grade in range(5)]
    assert kinds[0] == set() and kinds[1] == {"microaneurysms"} and kinds[2] == kinds[3] == kinds[4] - {"new vessels"}
    assert LESIONS["haemorrhages"][3][0] > LESIONS["haemorrhages"][2][1]
    shown = [np.mean([dark(Retina((0, 9, n), CLEAR, grade).photograph()) for n in range(4)]) for grade in range(4)]
    assert shown[0] < shown[1] < shown[2] < shown[3], "more lesions are visible in higher grades"


def test_shares_of_grades_are_the_populations():
    grades = [Retina.sample((0, 9, number), RETINAS.with_values(shares=(1, 0, 0, 0, 3))).grade for number in range(400)]
    assert set(grades) == {0, 4} and grades.count(4) / 400 == pytest.approx(0.75, abs=0.06)
