from __future__ import annotations

import csv

import numpy as np
import torch
from monai.data import MetaTensor
from planewise.evaluation import FeaturesWriter

from .passes import pass_over


def test_a_row_for_each_slice_under_the_exams_name(tmp_path, caplog):
    caplog.set_level("INFO")
    image = MetaTensor(torch.zeros(1, 4, 4, 2), meta={"filename_or_obj": "somewhere/aa.nii.gz"})
    features = np.array([[0.25, -3.0, 1e-7], [1.5, 2.0, 123456.78]], dtype=np.float32)
    pass_over(FeaturesWriter(tmp_path), [[{}]], [[{"image": image, "features": features}]])
    pass_over(FeaturesWriter(tmp_path / "one"), [[{}]], [[{"image": image, "features": features[:1]}]])
    said = [line for line in caplog.messages if "features" in line]
    assert said == ["exam aa: 3 features of each of 2 slices", "exam aa: 3 features"]
    assert np.array_equal(np.load(tmp_path / "aa/features.npy"), features)
    rows = list(csv.reader((tmp_path / "aa/features.csv").open()))
    assert rows[0] == ["slice", "feature0", "feature1", "feature2"]
    assert rows[1:] == [["0", "0.25", "-3", "1e-07"], ["1", "1.5", "2", "123457"]]
