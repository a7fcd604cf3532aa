from __future__ import annotations

from pathlib import Path

import pytest
from planewise.errors import InputError
from planewise.own_exams import heart_bundles
from planewise.own_exams.heart_bundles import stacks_in


def exam(name: str, slices: int) -> dict:
    return {"exam": name, "image": [{"image": f"{number}.dcm", "slice": number} for number in range(slices)]}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([exam("aa", 6), exam("bb", 1)], "exam bb has no stack"),
        # two phases of one exam, and another exam
        ([exam("aa", 1), exam("aa", 1), exam("cc", 1)], "exams aa, cc have no stack"),
    ],
)
def test_a_single_slice_is_refused_before_anything_runs(found, said, monkeypatch):
    monkeypatch.setattr(heart_bundles, "find_inputs", lambda path, phases: found)
    with pytest.raises(InputError, match=f"{said}.*three short-axis slices or more"):
        stacks_in(Path("folder"))


def test_stacks_and_volumes_pass(monkeypatch):
    found = [exam("aa", 6), {"image": "volume.nii.gz"}]
    monkeypatch.setattr(heart_bundles, "find_inputs", lambda path, phases: found)
    assert stacks_in(Path("folder")) == found
