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
from planewise.errors import causes
from planewise.exams import find_volumes
from planewise.networks import load_pretrained

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
from tests.conftest import ROOT

ROTATION, TUMOURS = "pretext_rotation", "downstream_brain_tumour_segmentation"
PANCREAS = "downstream_pancreas_segmentation"
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


def test_a_pretext_counts_turned_volumes(pretext):
    scores = json.loads((pretext / "validation/metrics.json").read_text())
    assert scores["volumes"] == 2 and scores["rotation"]["rotations"] == 10 and scores["rotation"]["images"] == 8
    assert (pretext / "validation/volumes.csv").read_text().count("\n") == 9
    assert (pretext / "validation/rotations.png").is_file()


def test_an_encoder_that_learned_tissues_is_fine_tuned(phantoms, tmp_path):
    """Table 1's "3D Supervised": first two channels and masks of three tissues, then four channels and three parts of a
    tumour. Both networks have four outputs, but the head and the decoder are still not copied.
    """
    shared = SHORT | {"max_epochs": 1, "samples_per_epoch": 4}
    first, second = tmp_path / "tissues", tmp_path / "tumours"
    train_and_evaluate(TUMOURS, phantoms.volume.tissues, first, "tissues.yaml", in_channels=2, **shared)
    scores = json.loads((first / "test/metrics.json").read_text())
    assert list(scores["structures"]) == ["fluid", "grey matter", "white matter"] and scores["volumes"] > 0
    train(
        TUMOURS,
        phantoms.volume.tumours,
        second,
        pretrained=first,
        **shared | {"frozen_epochs": 1, "learning_rate": 0.0},
    )
    before, after = weights(first), weights(second)
    assert before.keys() == after.keys()
    for name, value in parts(before, "encoder").items():
        assert torch.equal(after[name], value[:, [0, 0, 1, 1]] if name == "encoder.stem.conv.weight" else value), name
    moved = [name for name in before if not name.startswith("encoder.") and name.endswith("conv.weight")]
    assert moved and not any(torch.equal(before[name], after[name]) for name in moved)


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


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (name, form)
        for name in VOLUMES
        for form in ("train.yaml", "2d.yaml")
        if name.startswith("pretext_") and (ROOT / "bundles" / name / "configs" / form).is_file()
    ],
)
def test_every_pretexts_encoder_is_the_segmentations(name, form, tmp_path):
    def network(bundle: str, channels: int) -> torch.nn.Module:
        files = dict.fromkeys(("train.yaml", form))
        return parser_of(bundle, *files, in_channels=channels).get_parsed_content("network_def")

    pretext = network(name, 2)
    torch.save(pretext.state_dict(), tmp_path / "model.pt")
    target = load_pretrained(network(TUMOURS, 4), tmp_path / "model.pt", ["encoder"]).state_dict()
    given = parts(pretext.state_dict(), "encoder")
    assert given.keys() == parts(target, "encoder").keys()
    assert all(torch.equal(target[key], given[key]) for key in given if key != "encoder.stem.conv.weight")


def test_masks_of_volumes_in_another_orientation(phantoms, tmp_path):
    """The same case in three orientations, one of which is exactly sagittal: the masks agree, each on its own grid."""
    train(TUMOURS, phantoms.volume.tumours, tmp_path / "run", **SHORT | {"learning_rate": 0.01})
    item = json.loads(phantoms.volume.tumours.read_text())["test"][0]
    for stored in ("LPS", "RAS", "PSR"):
        (tmp_path / "cases" / stored).mkdir(parents=True)
        for file, channel in zip(item["image"], ("t1", "t1ce", "t2", "flair"), strict=True):
            turned = in_orientation(nibabel.load(phantoms.volume.tumours.parent / file), stored)
            nibabel.save(turned, tmp_path / f"cases/{stored}/{channel}.nii.gz")
    infer(TUMOURS, tmp_path / "cases", tmp_path / "run", tmp_path / "out")
    masks = {}
    for stored in ("LPS", "RAS", "PSR"):
        mask = nibabel.load(tmp_path / f"out/{stored}/{stored}_mask.nii.gz")
        image = nibabel.load(tmp_path / f"cases/{stored}/t1.nii.gz")
        assert mask.shape == image.shape and np.allclose(mask.affine, image.affine)
        masks[stored] = np.asarray(in_orientation(mask, "LPS").dataobj)
    assert len(np.unique(masks["LPS"])) > 1
    for stored in ("RAS", "PSR"):  # interpolation rounds differently from another corner
        assert np.mean(masks[stored] != masks["LPS"]) < 1e-3


def in_orientation(image: nibabel.Nifti1Image, axcodes: str) -> nibabel.Nifti1Image:
    now, wanted = nibabel.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(axcodes)
    return image.as_reoriented(nibabel.orientations.ornt_transform(now, wanted))


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


@pytest.mark.parametrize("own", [{}, {"window": 8}, {"voxel_size": 11.0}], ids=str)
def test_masks_come_back_on_the_images_grid(phantoms, tmp_path, own):
    settings = {
        "datalist": str(phantoms.volume.tumours),
        "output_dir": str(tmp_path),
        "save_masks": True,
        **own,
    }
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


def test_inference_over_a_folder_goes_on_without_bad_volumes(tmp_path, caplog):
    """The folder has noise, a constant volume, a truncated volume, and noise again: the two good volumes get masks, and the
    log names the two bad ones.
    """
    folder, affine = tmp_path / "scans", np.diag([2.0, 2.0, 2.0, 1.0])
    folder.mkdir()
    noise = np.random.default_rng(0).normal(size=(20, 18, 16)).astype("f4")
    for name, pixels in {"a": noise, "b": np.full_like(noise, 7), "c": noise, "d": noise}.items():
        nibabel.save(nibabel.Nifti1Image(pixels, affine), folder / f"{name}.nii.gz")
    (folder / "c.nii.gz").write_bytes((folder / "c.nii.gz").read_bytes()[:2000])
    parser = parser_of(PANCREAS, "inference.yaml", bundle_root=str(tmp_path))
    (tmp_path / "models").mkdir()
    torch.save(parser.get_parsed_content("network").state_dict(), tmp_path / "models/model.pt")
    out = tmp_path / "out"
    infer(PANCREAS, folder, tmp_path / "models/model.pt", out)
    assert sorted(file.name for file in out.rglob("*_mask.nii.gz")) == ["a_mask.nii.gz", "d_mask.nii.gz"]
    told = [record.getMessage() for record in caplog.records if " is left out " in record.getMessage()]
    assert len(told) == 2 and "(2 of 4)" in told[0] and "(3 of 4)" in told[1]
    assert "the value 7 everywhere" in told[0] and "cannot be read" in told[1]


def test_other_labels_are_counted_explained_and_left_out(phantoms, tmp_path, caplog):
    content = json.loads(phantoms.volume.tumours.read_text())
    wrong, bare = content["training"][:2]
    mask = nibabel.load(phantoms.volume.tumours.parent / wrong["label"])
    values = np.asarray(mask.dataobj)
    nibabel.save(nibabel.Nifti1Image(np.where(values == 4, 3, values), mask.affine), tmp_path / "threes.nii.gz")
    wrong["label"] = str(tmp_path / "threes.nii.gz")
    del bare["label"]
    datalist = phantoms.volume.tumours.parent / "spoilt.json"
    datalist.write_text(json.dumps(content))
    train(TUMOURS, datalist, tmp_path / "run", cache_dir=tmp_path / "cache", **SHORT | {"max_epochs": 1})
    assert "its values must be 0, 1, 2, 4, got 3" in caplog.text
    assert "the case has no mask" in caplog.text


@pytest.mark.parametrize("name", [TUMOURS, PANCREAS])
def test_evaluation_stops_at_other_labels(name, phantoms, tmp_path):
    """A 3 in the mask of one test case stands for no structure, and must not be scored as background."""
    datalist = datalist_for(name, phantoms)
    content = json.loads(datalist.read_text())
    item = next(item for item in content["test"] if item.get("label"))
    mask = nibabel.load(datalist.parent / item["label"])
    values = np.asarray(mask.dataobj)
    nibabel.save(nibabel.Nifti1Image(np.where(values == values.max(), 3, values), mask.affine), tmp_path / "3.nii.gz")
    item["label"] = str(tmp_path / "3.nii.gz")
    spoilt = datalist.parent / f"spoilt_test_{name}.json"
    spoilt.write_text(json.dumps(content | {"test": [item]}))
    parser = parser_of(name, "train.yaml")
    torch.save(parser.get_parsed_content("network_def").state_dict(), tmp_path / "model.pt")
    settings = {"datalist": str(spoilt), "output_dir": str(tmp_path / "out"), "weights": str(tmp_path / "model.pt")}
    with pytest.raises(RuntimeError) as caught:
        run_bundle(name, "train.yaml", "evaluate.yaml", **settings)
    wanted = ", ".join(["0", *parser["structures"]])
    assert any(f"its values must be {wanted}, got 3" in str(cause) for cause in causes(caught.value))
    assert not (tmp_path / "out/test/metrics.json").exists()
