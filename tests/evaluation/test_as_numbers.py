"""Test the conversion of an image to plain numbers, and which metadata the image keeps."""

from __future__ import annotations

import torch
from monai.data import MetaTensor
from planewise.evaluation import AsNumbersd


def test_the_image_forgets_its_files_size_and_nothing_else():
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    meta = {"spatial_shape": [5, 6, 7], "filename_or_obj": "knee.nii"}
    image = MetaTensor(torch.arange(8.0).reshape(1, 2, 2, 2), affine=affine, meta=meta)
    item = AsNumbersd()({"image": image, "pred": torch.tensor([0.25, 0.5], dtype=torch.bfloat16), "exam": "a"})
    assert torch.equal(item["image"].as_tensor(), image.as_tensor()) and torch.equal(item["image"].affine, affine)
    assert "spatial_shape" not in item["image"].meta and item["image"].meta["filename_or_obj"] == "knee.nii"
    assert list(image.meta["spatial_shape"]) == [5, 6, 7] and item["exam"] == "a"
    # MONAI Label's class writer needs this
    assert isinstance(item["pred"], MetaTensor) and item["pred"].array.tolist() == [0.25, 0.5]
