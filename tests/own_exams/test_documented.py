"""Test the Python examples of tools/docs/own_exams.md."""

from __future__ import annotations

import re

import itk
import nibabel
import numpy as np
import pytest
from planewise.data import find_inputs
from planewise.reports.slicer_segmentation import write_slicer_segmentation

from tests.conftest import ROOT

JOIN, MEASURE = re.findall(r"```python\n(.*?)```", (ROOT / "tools/docs/own_exams.md").read_text(), re.S)


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


def test_corrected_masks_are_measured_from_both_formats(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = np.zeros((8, 7, 4), np.uint8)
    labels[2:6, 2:6, 1:3] = 3
    affine = np.diag([5.0, 5, 10, 1])
    nibabel.save(nibabel.Nifti1Image(labels, affine), "E_phase00_mask_by_hand.nii.gz")
    # 3D Slicer crops the file to the segments
    write_slicer_segmentation(tmp_path / "whole.seg.nrrd", labels[2:6, 2:4, 1:3], affine, {3: "LV"})
    itk.imwrite(itk.imread("whole.seg.nrrd"), "E_phase50_by_hand.seg.nrrd")
    exec(MEASURE, names := {})
    assert names["found"].volumes["LV"] == pytest.approx([32 * 0.25, 16 * 0.25])
    assert names["found"].ejection_fraction("LV") == pytest.approx(50)
