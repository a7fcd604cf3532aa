"""Test the Python example of tools/docs/own_exams.md."""

from __future__ import annotations

import re

import nibabel
import numpy as np
import pytest
from planewise.exams import find_inputs

from tests.conftest import ROOT

(JOIN,) = re.findall(r"```python\n(.*?)```", (ROOT / "tools/docs/own_exams.md").read_text(), re.S)


def test_two_files_are_joined_to_the_phases_of_one_exam(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("p1_ED", "p1_ES")):
        voxels = np.arange(60, dtype=np.int16).reshape(5, 4, 3) + 100 * number
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2, 10, 1])), f"{name}.nii.gz")
    exec(JOIN, {})
    assert [item["phase"] for item in find_inputs("p1.nii.gz", "all")] == ["phase00", "phase50"]
    joined = nibabel.load("p1.nii.gz")
    assert np.asarray(joined.dataobj)[0, 0, 0].tolist() == pytest.approx([0, 100], abs=1e-3)
    assert joined.header.get_zooms()[:3] == (2, 2, 10)
