"""Test that stored numbers are compared entry by entry, within a tolerance."""

from __future__ import annotations

import numpy as np
import pytest

from tests import expected_numbers
from tests.expected_numbers import check_numbers

FOUND = {
    "loss": 0.5,
    "image": np.linspace(-1, 1, 50).reshape(5, 10),
    "history": {1: {"rate": 1e-4, "name": "a text"}, 2: {"rate": float("nan")}},
    "flag": True,
    "nothing": None,
    "list": [1, 2.5, 3],
    "wide": {str(number): number / 3 for number in range(20)},
    "rows": [{"a": 1}, {"a": 2}, {"a": 3}],
}


@pytest.fixture
def stored(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(expected_numbers, "FOLDER", tmp_path)
    for case in ("one", "other"):
        check_numbers("file", case, FOUND, write=True)


@pytest.mark.parametrize("changed", [{}, {"loss": 0.50004}, {"image": FOUND["image"] + 1e-5}])
def test_equal_but_for_rounding(changed, stored):
    check_numbers("file", "one", FOUND | changed, write=False)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"loss": 0.502}, "loss"),
        ({"image": FOUND["image"][::-1]}, "image"),
        ({"image": FOUND["image"].reshape(10, 5)}, "image"),
        ({"history": {1: {"rate": 2e-4}, 2: {"rate": float("nan")}}}, "history/1"),
        ({"list": [1, 2.6, 3]}, "list"),
        ({"rows": FOUND["rows"][:2]}, "rows/length"),
        ({"new": 1}, "new"),
    ],
)
def test_a_change_is_named(changed, named, stored):
    with pytest.raises(AssertionError, match=r"one: 1 of \d+ entries differ") as caught:
        check_numbers("file", "one", FOUND | changed, write=False)
    assert f"  {named}: " in str(caught.value) or changed.keys() <= {"loss", "nothing", "new"}


def test_what_is_missing_is_a_change(stored):
    with pytest.raises(AssertionError, match="image: missing"):
        check_numbers("file", "one", {key: value for key, value in FOUND.items() if key != "image"}, write=False)
    with pytest.raises(AssertionError, match="no numbers of third are stored"):
        check_numbers("file", "third", FOUND, write=False)
