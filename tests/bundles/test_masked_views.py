"""Test SimCLR on images of hearts alone, with the backbones of Nakashima."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import torch
from planewise.data import load_datalist

from tests.bundles.conftest import train_and_evaluate
from tests.bundles.test_pieces import parser_of
from tests.bundles.test_runs import weights
from tests.kinds import others_slow

SIMCLR = "pretext_simclr"
#: Small versions of both backbones.
SMALL = {
    "vgg16.yaml": {"features": [4, 4, 8, 8, 8]},
    "densenet121.yaml": {"init_features": 8, "growth_rate": 4, "blocks": [1, 2, 1, 1]},
}


@pytest.mark.parametrize("overlay", others_slow(SMALL, ["vgg16.yaml"]))
def test_train_and_evaluate_on_hearts(overlay, phantoms, tmp_path):
    train_and_evaluate(
        SIMCLR, phantoms.cardiac.labelled, tmp_path, overlay, images="segmented", section="test", batch_size=8,
        samples_per_epoch=16, max_epochs=1, val_interval=1, projection=[16, 8], **SMALL[overlay],
    )  # fmt: skip
    metrics = json.loads((tmp_path / "test/metrics.json").read_text())
    assert metrics["slices"] > 8 and 0 <= metrics["retrieval"]["top1"] <= 1
    assert {name.split(".")[0] for name in weights(tmp_path)} == {"encoder"}
    # torchvision's ImageNet files use these names, so they load into this network
    start = "encoder.features.28.weight" if overlay == "vgg16.yaml" else "encoder.features.conv0.weight"
    assert start in weights(tmp_path)


def test_what_is_outside_of_the_mask_never_reaches_the_network(phantoms, tmp_path):
    """If the background in the files changes, the batches stay the same."""
    training = load_datalist(phantoms.cardiac.labelled, "training")
    items = [item for item in training if item["phase"] == "ED"][:2]
    found = []
    for value in (0, 3000):
        changed = []
        for number, item in enumerate(items):
            image, mask = nibabel.load(item["image"]), np.array(nibabel.load(item["label"]).dataobj)
            mask[..., 0] = 0
            label = tmp_path / f"{value}_{number}_gt.nii.gz"
            nibabel.save(nibabel.Nifti1Image(mask, image.affine), label)
            pixels = np.where(mask > 0, np.asarray(image.dataobj, dtype="f4"), np.float32(value))
            path = tmp_path / f"{value}_{number}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(pixels, image.affine), path)
            changed.append({**item, "image": str(path), "label": str(label)})
        datalist = tmp_path / f"{value}.json"
        datalist.write_text(json.dumps({"planewise": {"version": 1}, "training": changed, "validation": []}))
        per_mode = {}
        for images in ("segmented", "full"):
            parser = parser_of(SIMCLR, datalist, tmp_path / f"{value}_{images}", images=images, mask_margin=0.0)
            data = parser.get_parsed_content("train#dataset")
            batch = data.__getitems__(list(range(len(data))))
            assert "label" not in batch
            torch.manual_seed(0)
            network = parser.get_parsed_content("network").eval()
            with torch.no_grad():
                per_mode[images] = (batch["image"], batch["image_padding"], network(batch["image"]))
        found.append(per_mode)
    dark, bright = found
    assert len(dark["segmented"][0]) == len(dark["full"][0]) - 2, "slices without heart are left out"
    assert all(torch.equal(mine, other) for mine, other in zip(dark["segmented"], bright["segmented"], strict=True))
    assert not torch.equal(dark["full"][0], bright["full"][0]), "without the mask, the network sees the change"
