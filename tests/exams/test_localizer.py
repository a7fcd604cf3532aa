"""Test which stacks are recognised as localizers."""

from dataclasses import replace

import pytest
from planewise.exams.localizer import is_localizer

from tests.exams.hearts import make_stack


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3-Plane Loc", True), ("t2_localizer_SAG", True), ("SCOUT", True), ("survey", True),
        ("block design", False), ("velocity", False), ("", False),
    ],
)  # fmt: skip
def test_names(text, expected):
    assert is_localizer(make_stack([[0, 0, 0]], [0, 0, 1.0], text=text)) is expected


def test_the_header_says_so():
    assert is_localizer(replace(make_stack([[0, 0, 0]], [0, 0, 1.0]), localizer=True))
