from __future__ import annotations

import pytest
from planewise.words import did_you_mean, duration, listed, nearest, plain, some_of


@pytest.mark.parametrize(("words", "sentence"), [("a", "a"), ("ab", "a and b"), ("abcd", "a, b, c and d")])
def test_words_are_listed_as_in_a_sentence(words, sentence):
    assert listed(iter(words)) == sentence


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("ab", "a, b"),
        ("abcde", "a, b, c, d, e"),
        ("abcdef", "a, b, c, d, e and 1 more"),
        ("abcdefg", "a, b, c, d, e and 2 more"),
    ],
)
def test_of_many_names_the_first_are_named_and_the_others_counted(words, text):
    assert some_of(words) == text


def test_separators_of_a_name_become_single_spaces():
    assert plain("T2_FS-sag/2.5,x|y__z") == "t2 fs sag 2 5 x y z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (20, "1 minute"),
        (70, "1 minute"),
        (7100, "118 minutes"),
        (7199, "120 minutes"),
        (7200, "2.0 hours"),
        (9000, "2.5 hours"),
    ],
)
def test_a_time_below_two_hours_is_in_minutes(seconds, text):
    assert duration(seconds) == text


def test_a_misspelt_name_is_followed_by_the_nearest_one():
    assert did_you_mean(nearest("sigmaa", iter(["alpha", "sigma"]))) == " (did you mean sigma?)"
    assert nearest("x", ["sigma"]) is None and did_you_mean(None) == ""
