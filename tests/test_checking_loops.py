from __future__ import annotations

import sys

import pytest

from tests.checking_loops import checking_loops, loops_entered


def over(items, more=()):
    assert True
    for item in items:
        assert item
        for other in more:
            assert other
    for _ in items:
        pass


def under_a_condition(items):
    if items:
        for item in items:
            assert item


def in_a_context(items):
    with pytest.MonkeyPatch.context():
        for item in items:
            assert item


@pytest.mark.parametrize(
    ("function", "given", "empty"),
    [
        (over, ([1], [1]), None),
        (over, ([1], []), 1),
        (over, ([], [1]), 0),
        (under_a_condition, ([],), None),
        (in_a_context, ([],), 0),
        (in_a_context, ([1],), None),
    ],
)
def test_a_loop_that_checks_has_run(function, given, empty):
    if empty is None:
        with loops_entered(function):
            function(*given)
    else:
        with pytest.raises(AssertionError, match="is empty, so it checks nothing") as caught, loops_entered(function):
            function(*given)
        assert f"around line {checking_loops(function)[empty]} of {function.__name__} " in str(caught.value)
    assert sys.gettrace() is None


def test_a_test_that_fails_fails_as_it_does():
    with pytest.raises(ZeroDivisionError), loops_entered(over):
        over([1 / 0])


def test_tests_are_watched_if_asked(request):
    """The hook of tests/conftest.py checks them while this test runs."""
    for _ in range(1):
        assert sys.gettrace() is not None or not request.config.getoption("--checking-loops")
