"""Test the names of exams and of results."""

import hashlib

import nibabel
import numpy as np
from planewise.preprocessing import LoadStackd
from planewise.preprocessing.exam_name import exam_of, loaded_name, volume_name


def test_an_exam_of_a_datalist_keeps_its_hash():
    item = {"image": "/data/Doe_Jane/a.nii.gz", "exam": "7f3a"}
    assert exam_of(item) == volume_name(item) == "7f3a"
    assert volume_name({**item, "phase": "ED"}) == "7f3a_ED"
    assert volume_name({**item, "phase": 0.5}) == "7f3a", "a phase of a cycle is not a name"


def test_the_hash_of_a_path_is_salted(tmp_path, monkeypatch):
    """Without a salt, anyone with the hash could find the path by trying candidates."""
    path = "/data/Doe_Jane/heart0.nii.gz"
    names = []
    for salt in ("one", "two"):
        (tmp_path / salt).write_text(salt * 10)
        monkeypatch.setenv("PLANEWISE_SALT_FILE", str(tmp_path / salt))
        names.append(exam_of({"image": path}))
        assert names[-1] == hashlib.sha256(f"{salt * 10}path:{path}".encode()).hexdigest()[:10]
    assert names[0] != names[1]


def test_results_of_a_persons_own_volume_are_named_as_monai_does(tmp_path):
    path = tmp_path / "heart0.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 3, 2), dtype=np.int16), np.eye(4)), path)
    item = {"image": str(path)}
    assert loaded_name(LoadStackd("image")(item)["image"]) == "heart0"
    assert loaded_name(LoadStackd("image")({**item, "phase": "ED"})["image"]) == "heart0_ED"
    listed = LoadStackd("image")({**item, "exam": "7f3a"})["image"]
    assert loaded_name(listed) == "7f3a"
