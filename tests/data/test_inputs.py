"""What a network is run on."""

from pathlib import Path

import pytest
from planewise.data import find_inputs
from planewise.errors import InputError


def test_a_folder_of_volumes_without_masks(tmp_path):
    for name in ("b.nii.gz", "a.nii.gz", "a_gt.nii.gz", ".hidden.nii.gz", "notes.txt"):
        (tmp_path / name).touch()
    assert [Path(item["image"]).name for item in find_inputs(tmp_path)] == ["a.nii.gz", "b.nii.gz"]


def test_volumes_whose_results_would_have_one_name(tmp_path):
    for name in ("a.nii", "a.nii.gz", "b.nii"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="2 files are called a "):
        find_inputs(tmp_path)
    assert len(find_inputs(tmp_path / "a.nii")) == 1
