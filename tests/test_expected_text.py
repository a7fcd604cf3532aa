"""Test that a stored text fails for changed lines, and for new ones unless it may grow."""

from __future__ import annotations

import pytest

from tests import expected_text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("losses.Old: weight=1\n", {False, True}),
        ("losses.New: weight=2\nlosses.Old: weight=1\n", {True}),
        ("losses.Old: weight=2\n", set()),
        ("losses.New: weight=1\n", set()),
    ],
)
@pytest.mark.parametrize("may_grow", [False, True])
def test_new_classes_change_no_text_that_may_grow(text, same, may_grow, tmp_path, monkeypatch):
    monkeypatch.setattr(expected_text, "FOLDER", tmp_path)
    (tmp_path / "defaults.txt").write_text("losses.Old: weight=1\n")
    if may_grow in same:
        expected_text.check_expected("defaults.txt", text, False, None, may_grow)
    else:
        with pytest.raises(AssertionError, match=r"defaults\.txt differs"):
            expected_text.check_expected("defaults.txt", text, False, None, may_grow)
