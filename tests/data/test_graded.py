"""Test that exams without a grade are counted and left out, and that it is an error if grades are required and no exam
has one.
"""

import logging

import pytest
from planewise.data import graded
from planewise.errors import InputError

ITEMS = [
    {"exam": "a", "grade": 0},
    {"exam": "b"},
    {"exam": "c", "grade": 4},
    {"exam": "d", "grade": 7},
    {"exam": "e", "grade": 1.5},
    {"exam": "f", "grade": True},
]


def test_those_with_a_grade(caplog):
    with caplog.at_level(logging.INFO):
        assert [item["exam"] for item in graded(ITEMS, "grade", 5)] == ["a", "c"]
    assert "of 6 photographs, these are left out: 1 without a grade (grade); 1 with the grade 7" in caplog.text
    assert [item["exam"] for item in graded(ITEMS, "grade", 4)] == ["a"]
    assert graded([], "grade", 5) == []


def test_none_with_a_grade():
    assert graded(ITEMS[1:2], "grade", 5) == []
    with pytest.raises(InputError, match=r"no photograph can be used for training: 1 without a grade \(level\)"):
        graded(ITEMS[:1], "level", 5, required=True)


def test_grades_that_begin_at_1():
    """Otherwise the highest grade would be left out, and each other one would be trained as the next."""
    items = [{"grade": grade} for grade in (1, 2, 5)]
    with pytest.raises(InputError, match="the grades go from 1 to 5, but must go from 0 to 4: subtract 1 from each"):
        graded(items, "grade", 5)
    assert len(graded([{"grade": 0}, *items], "grade", 5)) == 3
