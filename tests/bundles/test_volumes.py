"""Test the bundles of whole volumes (Taleb 2020), from a pretext with two channels to a segmentation with four."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from planewise.data import load_datalist
from planewise.engines import read_history
from planewise.exams import find_volumes

from tests.bundles.conftest import (
    VOLUMES,
    datalist_for,
    infer,
    parser_of,
    run_bundle,
    tiny_size,
    train,
    train_and_evaluate,
)
from tests.bundles.test_runs import interrupted, same, weights

ROTATION, TUMOURS = "pretext_rotation", "downstream_brain_tumour_segmentation"
SHORT = {"max_epochs": 2, "val_interval": 1, "samples_per_epoch": 8}


@pytest.fixture(scope="module")
def pretext(phantoms, tmp_path_factory) -> Path:
    """A run of the pretext, with its evaluation."""
    folder = tmp_path_factory.mktemp("pretext")
    train_and_evaluate(ROTATION, phantoms.volume.heads, folder, **SHORT)
    return folder


def parts(state: dict, part: str) -> dict:
    return {name: value for name, value in state.items() if name.startswith(f"{part}.")}


@pytest.mark.parametrize("name", VOLUMES)
def test_training_and_inference_see_the_same_volume(name, phantoms):
    found, datalist = [], datalist_for(name, phantoms)
    for file, key in (("train.yaml", "train#preprocessing"), ("inference.yaml", "preprocessing")):
        parser = parser_of(name, file)
        items = load_datalist(datalist, "test") if file == "train.yaml" else find_volumes(datalist)
        found.append(parser.get_parsed_content(key)(items[0])["image"])
        # the phantoms have the orientation of the data sets that they stand for
        parser["axcodes"] = None
        assert torch.equal(parser.get_parsed_content(key)(items[0])["image"].as_tensor(), found[-1].as_tensor())
    assert found[0].shape == found[1].shape and found[0].shape[1:] == (tiny_size(name)["image_size"],) * 3
    assert torch.equal(found[0].as_tensor(), found[1].as_tensor()) and torch.equal(found[0].affine, found[1].affine)


def test_the_2d_form_starts_from_a_2d_pretext_and_segments_whole_volumes(phantoms, tmp_path):
    shared = SHORT | {"max_epochs": 1}
    first, second = tmp_path / "pretext", tmp_path / "tumours"
    train(ROTATION, phantoms.volume.heads, first, "2d.yaml", **shared)
    settings = {"datalist": str(phantoms.volume.tumours), "output_dir": str(second), "pretrained": str(first)}
    configs = ("train.yaml", "evaluate.yaml", "2d.yaml")
    run_bundle(
        TUMOURS, *configs, run_id="train_and_evaluate", **shared | settings | {"frozen_epochs": 1, "save_masks": True}
    )
    before, after = weights(first), weights(second)
    assert after["encoder.stem.conv.weight"].ndim == 4
    for name, value in parts(before, "encoder").items():
        assert torch.equal(after[name], value[:, [0, 0, 1, 1]] if name == "encoder.stem.conv.weight" else value), name
    scores = json.loads((second / "test/metrics.json").read_text())
    assert list(scores["structures"]) == ["WT", "TC", "ET"] and scores["volumes"] > 0
    (history,) = read_history(second / "history.csv")
    assert 0 <= history["val_mean_dice"] <= 1
    # inference on a case gives what the evaluation gave
    item = json.loads(phantoms.volume.tumours.read_text())["test"][0]
    folder = (phantoms.volume.tumours.parent / item["image"][0]).parent
    infer(TUMOURS, folder, second, tmp_path / "out", "2d.yaml")
    (written,) = (nibabel.load(path) for path in (tmp_path / "out").rglob("*_mask.nii.gz"))
    (mask,) = (nibabel.load(path) for path in (second / "test/masks").glob(f"*{item['exam']}*"))
    assert written.shape == nibabel.load(phantoms.volume.tumours.parent / item["image"][0]).shape
    assert np.array_equal(np.asarray(written.dataobj), np.asarray(mask.dataobj))


def test_frozen_then_released_and_resumed(phantoms, pretext, tmp_path):
    """Two channels become four; after the frozen epoch, the encoder and its batch statistics are still the pretext's."""
    settings = {"datalist": str(phantoms.volume.tumours), "pretrained": str(pretext), "frozen_epochs": 1, **SHORT}
    interrupted(TUMOURS, "train.yaml", after_epoch=1, output_dir=tmp_path / "b", **settings)
    frozen, source = weights(tmp_path / "b", "last.ckpt")["network"], weights(pretext)
    for name, value in parts(source, "encoder").items():
        expected = value[:, [0, 0, 1, 1]] if name == "encoder.stem.conv.weight" else value
        assert torch.equal(frozen[name], expected), name
    run_bundle(TUMOURS, "train.yaml", output_dir=tmp_path / "b", **settings)
    run_bundle(TUMOURS, "train.yaml", output_dir=tmp_path / "a", **settings)
    whole, resumed = (weights(tmp_path / name, "last.ckpt") for name in "ab")
    assert same(whole["network"], resumed["network"])
    moved = parts(whole["network"], "encoder")
    assert all(not torch.equal(value, frozen[name]) for name, value in moved.items())
    # Adam counts the decoder's steps through both epochs, and the encoder's from its release
    steps = {int(state["step"]) for state in resumed["optimizer"]["state"].values()}
    assert steps == {2, 4}
    assert [row["epoch"] for row in read_history(tmp_path / "b/history.csv")] == [1, 2]


@pytest.mark.parametrize("own", [{"window": 8}, pytest.param({"voxel_size": 11.0}, marks=pytest.mark.slow)], ids=str)
def test_masks_come_back_on_the_images_grid(phantoms, tmp_path, own):
    settings = {"datalist": str(phantoms.volume.tumours), "output_dir": str(tmp_path), "save_masks": True, **own}
    configs = ("train.yaml", "evaluate.yaml")
    run_bundle(TUMOURS, *configs, run_id="train_and_evaluate", **SHORT | settings | {"max_epochs": 1})
    scores = json.loads((tmp_path / "test/metrics.json").read_text())
    assert list(scores["structures"]) == ["WT", "TC", "ET"] and scores["volumes"] > 0
    masks = sorted((tmp_path / "test/masks").glob("*.nii.gz"))
    assert len(masks) == scores["volumes"]
    item = json.loads(phantoms.volume.tumours.read_text())["test"][0]
    image = nibabel.load(phantoms.volume.tumours.parent / item["image"][0])
    (mask,) = (nibabel.load(path) for path in masks if path.name.startswith(item["exam"]))
    assert mask.shape == image.shape and np.allclose(mask.affine, image.affine)
    assert set(np.unique(mask.dataobj)) <= {0, 1, 2, 4}
    # a case's folder, as in BraTS
    folder = (phantoms.volume.tumours.parent / item["image"][0]).parent
    size = tiny_size(TUMOURS) | own
    infer(TUMOURS, folder, tmp_path, tmp_path / "out", **size)
    (written,) = (tmp_path / "out").rglob("*_mask.nii.gz")
    assert written.name == f"{folder.name}_mask.nii.gz"
    assert np.array_equal(np.asarray(nibabel.load(written).dataobj), np.asarray(mask.dataobj))
