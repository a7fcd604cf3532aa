from __future__ import annotations

import pytest
from planewise.exams.words import listed


@pytest.mark.parametrize(("words", "sentence"), [("a", "a"), ("ab", "a and b"), ("abcd", "a, b, c and d")])
def test_words_are_listed_as_in_a_sentence(words, sentence):
    assert listed(iter(words)) == sentence
