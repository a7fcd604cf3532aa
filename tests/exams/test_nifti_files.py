from __future__ import annotations

from planewise.exams.volume import nifti_files


def test_named_as_nifti_in_order_and_not_hidden(tmp_path):
    for name in ("b.nii.gz", "a.nii", "._a.nii", "c.nii.txt", "nii"):
        (tmp_path / name).touch()
    assert [path.name for path in nifti_files(tmp_path.glob("*"))] == ["a.nii", "b.nii.gz"]
