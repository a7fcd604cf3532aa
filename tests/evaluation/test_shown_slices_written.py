"""Test that evaluation saves the slices for a study's picture that compares methods."""

from __future__ import annotations

import numpy as np
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from planewise.evaluation.segmentation_report import SegmentationReport
from planewise.reports.segmentation_figures import SHOWN_SLICES, read_shown_slices


def test_the_first_and_the_last_labelled_slices_are_kept_whatever_was_predicted(tmp_path):
    label = torch.zeros(1, 4, 5, 6)
    label[0, 1, 1, 2:5] = 1
    label[0, 2, 2, 2:5] = 2
    native = torch.arange(120.0).reshape(1, 4, 5, 6)
    image = MetaTensor(native, affine=torch.eye(4), meta={"filename_or_obj": "ab12.nii.gz"})
    prediction = torch.ones(1, 4, 5, 6)
    item = {
        "image": image,
        "native_image": native,
        "label": MetaTensor(label, affine=torch.eye(4)),
        "exam": "ab12",
        "phase": "ED",
    }
    engine = Engine(lambda engine, batch: [{"pred": prediction}])
    SegmentationReport(tmp_path, {1: "RV", 2: "LV"}).attach(engine)
    engine.run([[item]])
    found = read_shown_slices(tmp_path / SHOWN_SLICES)
    # slices 3 to 5 hold labels, counted from 1
    assert list(found) == ["ab12 ED slice 3", "ab12 ED slice 5"]
    for caption, rank in (("ab12 ED slice 3", 2), ("ab12 ED slice 5", 4)):
        np.testing.assert_array_equal(found[caption].image, native[0, ..., rank])
        np.testing.assert_array_equal(found[caption].reference, label[0, ..., rank])
        np.testing.assert_array_equal(found[caption].prediction, prediction[0, ..., rank])
