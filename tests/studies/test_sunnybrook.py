"""Test that Sunnybrook's contours are compared with the masks of their own slices and phases."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from matplotlib.path import Path as Outline
from planewise.exams import find_stacks

from tools.studies import sunnybrook


def test_each_contour_meets_the_mask_of_its_slice_and_phase(real_data, tmp_path):
    """The files of this patient are numbered by slice, then by phase; the masks are drawn with another rasteriser."""
    for folder, name in (("dicom", "SCD0000101"), ("contours", "SC-HF-I-1")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).symlink_to(real_data / "sunnybrook" / folder / name)
    masks = np.zeros((20, 256, 256, 12), np.uint8)
    pixels = np.stack(np.meshgrid(range(256), range(256), indexing="ij"), -1).reshape(-1, 2)
    for path in tmp_path.glob("contours/*/i-contours/*.txt"):
        slice_, phase = divmod(int(path.name.split("-")[2]) - 1, 20)
        inside = Outline(np.loadtxt(path)).contains_points(pixels).reshape(256, 256)
        masks[phase, ..., slice_] = np.where(inside, sunnybrook.LEFT_VENTRICLE, 2)
    for phase, stack in enumerate(find_stacks(tmp_path / "dicom", phases="all")):
        affine = np.array(stack.slices[0]["affine"])
        affine[:3, 2] = np.array(stack.slices[1]["affine"])[:3, 3] - affine[:3, 3]
        nibabel.save(
            nibabel.Nifti1Image(masks[phase], affine), tmp_path / f"{stack.exam}_phase{5 * phase:02d}_mask.nii.gz"
        )
    rows = sunnybrook.scores(tmp_path, tmp_path)
    assert [(row["phase"], row["slices"]) for row in rows] == [("phase35", 9), ("phase90", 9), ("all", 18)]
    assert [row["dice"] for row in rows] == [pytest.approx(1, abs=0.03)] * 3


def test_absent_data_end_with_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sunnybrook", "--data", str(tmp_path)])
    with pytest.raises(SystemExit):
        sunnybrook.main()
    assert str(tmp_path) in capsys.readouterr().err
