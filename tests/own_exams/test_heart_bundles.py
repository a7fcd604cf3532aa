from __future__ import annotations

import json
from pathlib import Path

import pytest
from planewise.errors import InputError
from planewise.own_exams import heart_bundles
from planewise.own_exams.heart_bundles import stacks_in
from planewise.preprocessing.exam_name import exam_of


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
    assert stacks_in(Path("folder"), keep_names=True) == found
    # a volume is called by its hash, a stack of DICOM files has one
    assert stacks_in(Path("folder")) == [found[0], found[1] | {"exam": exam_of(found[1])}]


@pytest.mark.parametrize(
    ("stacks", "given"),
    [
        ([exam("aa", 2)], None),
        ([{"image": "/data/volume.nii.gz"}], None),
        (
            [exam("aa", 2), {"image": "/data/volume.nii.gz", "exam": "bb", "phase": "ED"}],
            [*exam("aa", 2)["image"], {"image": "/data/volume.nii.gz", "exam": "bb", "phase": "ED"}],
        ),
    ],
)
def test_a_bundle_is_given_the_path_or_a_private_datalist_with_the_names(stacks, given, tmp_path):
    with heart_bundles.asked_for(stacks, tmp_path) as path:
        if given is None:
            assert path == tmp_path
        else:
            assert json.loads(path.read_text()) == {"test": given}
            assert path.stat().st_mode & 0o777 == 0o600
    assert path == tmp_path or not path.exists()
