"""Test SimCLR on images of hearts alone, with the backbones of Nakashima."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from planewise.data import load_datalist
from planewise.engines import read_history
from planewise.errors import InputError
from planewise.exams import index_folder, write_datalist
from planewise.exams.labels import NO_MASK

from tests.bundles.conftest import run_bundle, train, train_and_evaluate
from tests.bundles.test_pieces import parser_of
from tests.bundles.test_runs import root_cause, weights
from tests.conftest import ROOT

SIMCLR, SEGMENTATION = "pretext_simclr", "downstream_cardiac_sax_segmentation"
#: Small versions of both backbones.
SMALL = {
    "vgg16.yaml": {"features": [4, 4, 8, 8, 8]},
    "densenet121.yaml": {"init_features": 8, "growth_rate": 4, "blocks": [1, 2, 1, 1]},
}


@pytest.mark.parametrize("overlay", SMALL)
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


@pytest.mark.parametrize("overlay", SMALL)
def test_views_are_changed_in_the_papers_ways_alone(overlay, tmp_path):
    """Sections 3.2 and 5.1: crop, contrast, noise, flips, rotation; no shading, and no blur."""
    parser = parser_of(SIMCLR, tmp_path / "none.json", tmp_path, overlay)
    affine, intensity, blur = parser.get_parsed_content("train#pretext#view").transforms
    assert (intensity.bias_field, blur.prob) == (0, 0) and intensity.gamma > 0 and intensity.noise > 0
    assert affine.flip_prob == 0.5 and affine.zoom == (1.0, 2.0) and affine.rotate == pytest.approx([math.pi])
    configs = [str(ROOT / "bundles" / SIMCLR / "configs" / file) for file in ("train.yaml", overlay)]
    told = ConfigParser.load_config_files(configs)
    assert [told[key] for key in ("learning_rate", "weight_decay", "temperature")] == [1e-4, 1e-4, 0.1]
    assert 64 <= told["batch_size"] <= 256


def test_pretraining_ends_early(phantoms, tmp_path):
    """A learning rate so high that it only does damage: the first epochs are the best."""
    train(
        SIMCLR, phantoms.cardiac.labelled, tmp_path, "vgg16.yaml", batch_size=8, samples_per_epoch=8, max_epochs=9,
        val_interval=1, patience=2, learning_rate=0.1, projection=[16, 8], **SMALL["vgg16.yaml"],
    )  # fmt: skip
    rows = read_history(tmp_path / "history.csv")
    best = min(rows, key=lambda row: row["val_loss"])["epoch"]
    assert rows[-1]["epoch"] == best + 2 < 9


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


def test_exams_without_masks_are_said(phantoms, tmp_path, caplog):
    content = {section: load_datalist(phantoms.cardiac.labelled, section) for section in ("training", "validation")}
    exam = content["training"][0]["exam"]
    for item in content["training"]:
        if item["exam"] == exam:
            del item["label"]
    datalist = tmp_path / "datalist.json"
    datalist.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING, "planewise"):
        parser = parser_of(SIMCLR, datalist, tmp_path / "run", images="segmented")
        data = parser.get_parsed_content("train#dataset#data")
    assert exam not in {item["exam"] for item in data} and len(data) == len(content["training"]) - 2
    assert f"{exam}: " in caplog.text
    with pytest.raises(RuntimeError) as caught:
        train(SIMCLR, phantoms.cardiac.unlabelled, tmp_path / "bare", images="segmented", max_epochs=1)
    assert isinstance(root_cause(caught.value), InputError) and "no exam can be cropped" in str(
        root_cause(caught.value)
    )


@pytest.mark.slow
def test_from_predicted_masks_to_views_of_the_heart(phantoms, tmp_path, monkeypatch):
    """Run `planewise segment` step by step: segment every section of a datalist (with the weights that ship), index with
    these masks, and learn from the hearts.
    """
    shipped = ConfigParser.load_config_file(ROOT / "bundles" / SEGMENTATION / "configs/inference.yaml")
    run_bundle(
        SEGMENTATION, "inference.yaml", input=phantoms.cardiac.labelled, section="all", output_dir=tmp_path / "masks",
        device="cpu", **{key: shipped[key] for key in ("features", "image_size", "spacing")},
    )  # fmt: skip
    # the hashes must be those of the exams' datalist
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(phantoms.folder / "salt"))
    result = index_folder(phantoms.cardiac.folder / "labelled", labels_dir=tmp_path / "masks")
    write_datalist(result.datalist, tmp_path / "hearts.json")
    every = load_datalist(tmp_path / "hearts.json", "all")
    assert len(every) == 2 * 10 and "two origins" not in str(result.warnings)
    # a picture lies next to each mask
    assert result.unmatched == [("segmentation.png and 19 more", NO_MASK)]
    assert all((tmp_path / "masks").resolve() in Path(item["label"]).parents for item in every)
    parser = parser_of(SIMCLR, tmp_path / "hearts.json", tmp_path / "run", images="segmented")
    data = parser.get_parsed_content("train#dataset")
    training = load_datalist(tmp_path / "hearts.json", "training")
    assert len({item["exam"] for item in data.items}) >= 0.7 * len({item["exam"] for item in training})
    image = data.__getitems__(list(range(len(data))))["image"]
    outside = [float((each == each[0, 0, 0]).float().mean()) for each in image]
    assert all(0.5 < share < 1 for share in outside), "everything around the heart is background"
