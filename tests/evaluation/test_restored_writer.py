from __future__ import annotations

import torch
from monai.data import MetaTensor
from planewise.evaluation import RestoredImaged


def item() -> dict:
    image = MetaTensor(torch.rand(1, 6, 8, 12), meta={"filename_or_obj": "somewhere/aa.nii.gz"})
    return {"image": image, "pred": MetaTensor(image.as_tensor() * 2)}


def test_a_restored_image_is_no_label():
    given = item()
    made = RestoredImaged()(given)
    assert not made["pred"].any() and made["pred"].dtype == torch.uint8
    assert made["pred"].meta["filename_or_obj"] == made["restored"].meta["filename_or_obj"] == "somewhere/aa.nii.gz"
    assert torch.equal(torch.as_tensor(made["restored"]), given["image"].as_tensor() * 2)
