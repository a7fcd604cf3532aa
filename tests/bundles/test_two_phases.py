"""Test diagnosis from two phases: hearts alone, pretrained backbones, cross-validation, early stopping, saliency."""

from __future__ import annotations

import csv
import json

import nibabel
import numpy as np
import pytest
import torch
from planewise.data import load_datalist
from planewise.engines import read_history
from planewise.errors import InputError

from tests.bundles.conftest import infer, run_bundle, tiny, train, train_and_evaluate
from tests.bundles.test_pieces import parser_of
from tests.bundles.test_runs import interrupted, root_cause, same, weights

NAME, PRETEXT = "downstream_cardiac_two_phase_classification", "pretext_simclr"
QUICK = {"samples_per_epoch": 8, "max_epochs": 1, "val_interval": 1, "batch_size": 4}


def test_from_a_pretext_on_hearts_alone(phantoms, tmp_path):
    """The test uses both bundles on one datalist, with the paper's other backbone, too."""
    datalist = str(phantoms.cardiac.labelled)
    train(
        PRETEXT, datalist, tmp_path / "p", "vgg16.yaml", images="segmented",
        **QUICK | {"batch_size": 8, "projection": [8, 4], "features": tiny(NAME)["features"], "blocks": [1] * 5},
    )  # fmt: skip
    train_and_evaluate(
        NAME, datalist, tmp_path / "f", images="segmented", fold=0, folds=3, pretrained=tmp_path / "p", **QUICK,
    )  # fmt: skip
    pretext, kept = weights(tmp_path / "p"), weights(tmp_path / "f")
    for phase in ("ed", "es"):
        assert same(
            {name.replace(f".{phase}", ""): value for name, value in kept.items() if f".{phase}." in name}, pretext
        )
    scores = json.loads((tmp_path / "f/test/metrics.json").read_text())
    assert scores["exams"] == 3 and sum(map(sum, scores["confusion"])) == 3 and scores["epochs"] == 1
    # pixels outside the heart are zero, but the network's maps are coarse, so not all of the saliency lies inside the
    # heart
    for phase in ("ED", "ES"):
        assert 0 <= scores["saliency"]["inside"][phase] <= 1 and 0 < scores["saliency"]["by_area"][phase] < 0.5
    assert {"roc.png", "saliency.png"} <= {path.name for path in (tmp_path / "f/test").iterdir()}
    rows = list(csv.DictReader((tmp_path / "f/test/predictions.csv").open()))
    assert all(sum(float(row[f"p({name})"]) for name in scores["auc"]) == pytest.approx(1, abs=1e-5) for row in rows)

    train(NAME, datalist, tmp_path / "a", pretrained=tmp_path / "p", transfer="all", learning_rate=0.01, **QUICK)
    moved = weights(tmp_path / "a")
    assert not torch.equal(moved["encoder.ed.features.0.weight"], moved["encoder.es.features.0.weight"])


def test_patients_of_pretrainings_test_part_never_train_and_phases_stay_together(phantoms, tmp_path):
    parsers = {name: parser_of(name, phantoms.cardiac.labelled, tmp_path / name) for name in (PRETEXT, NAME)}
    tested = {item["patient"] for item in load_datalist(phantoms.cardiac.labelled, "test")}
    for name, parser in parsers.items():
        for block in ("train", "validate"):
            assert not tested & {item["patient"] for item in parser.get_parsed_content(f"{block}#dataset#data")}, name
    for fold in range(3):
        parser = parser_of(NAME, phantoms.cardiac.labelled, tmp_path / str(fold), fold=fold, folds=3)
        parts = [parser.get_parsed_content(f"{block}#dataset#data") for block in ("train", "validate")]
        seen = [{item["patient"] for item in part} for part in parts]
        assert not seen[0] & seen[1] and not tested & (seen[0] | seen[1])
        assert all({item["phase"] for item in part if item["patient"] == one} == {"ED", "ES"}
                   for part, patients in zip(parts, seen, strict=True) for one in patients)  # fmt: skip


def test_what_is_outside_of_the_mask_has_no_say_in_the_diagnosis(phantoms, tmp_path):
    found = {"segmented": [], "full": []}
    for value in (0, 3000):
        changed = []
        for number, item in enumerate(load_datalist(phantoms.cardiac.labelled, "training")[:4]):
            image, mask = nibabel.load(item["image"]), np.asarray(nibabel.load(item["label"]).dataobj)
            pixels = np.where(mask > 0, np.asarray(image.dataobj, dtype="f4"), np.float32(value))
            path = tmp_path / f"{value}_{number}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(pixels, image.affine), path)
            changed.append({**item, "image": str(path)})
        datalist = tmp_path / f"{value}.json"
        datalist.write_text(json.dumps({"planewise": {"version": 1}, "training": changed, "validation": []}))
        for images, outputs in found.items():
            torch.manual_seed(0)
            settings = {"images": images, "mask_margin": 0.0}
            parser = parser_of(NAME, datalist, tmp_path / f"{value}_{images}", **settings)
            data = parser.get_parsed_content("train#dataset")
            prepared = parser.get_parsed_content("validate#evaluator").prepare_batch(data.__getitems__([0, 1]), "cpu")
            with torch.no_grad():
                outputs.append(parser.get_parsed_content("network").eval()(prepared[0], **prepared[3]))
    assert torch.equal(*found["segmented"]) and not torch.equal(*found["full"])


@pytest.mark.parametrize("images", ["full", "segmented"])
def test_masks_that_cannot_be_hearts_say_nothing_of_saliency(images, phantoms, tmp_path):
    """An exam whose mask cannot be a heart has no share of saliency in the heart; with whole images, it is still
    classified.
    """
    items = load_datalist(phantoms.cardiac.labelled, "test")
    first = items[0]["exam"]
    for number, item in enumerate(item for item in items if item["exam"] == first):
        mask = nibabel.load(item["label"])
        item["label"] = str(tmp_path / f"{number}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(np.zeros(mask.shape, "u1"), mask.affine), item["label"])
    datalist = tmp_path / "list.json"
    datalist.write_text(json.dumps({"planewise": {"version": 1}, "training": [], "validation": [], "test": items}))
    parser = parser_of(NAME, datalist, tmp_path, "evaluate.yaml", images=images)
    exams, masked = (
        {item["exam"] for item in parser.get_parsed_content(f"evaluate#{which}#data")}
        for which in ("dataset", "masked")
    )
    assert masked == {item["exam"] for item in items} - {first} and (first in exams) == (images == "full")


def test_it_ends_early_and_resumes_to_the_same_end(phantoms, tmp_path):
    settings = QUICK | {"datalist": str(phantoms.cardiac.labelled), "max_epochs": 9, "patience": 2}
    # a learning rate so high that it only does damage: the first epochs are the best
    settings |= {"learning_rate": 3.0}
    run_bundle(NAME, "train.yaml", output_dir=tmp_path / "a", **settings)
    epochs = [row["epoch"] for row in read_history(tmp_path / "a/history.csv")]
    losses = [row["val_loss"] for row in read_history(tmp_path / "a/history.csv")]
    best = losses.index(min(losses)) + 1
    assert epochs[-1] == best + 2 < 9
    interrupted(NAME, "train.yaml", after_epoch=best, output_dir=tmp_path / "b", **settings)
    for _ in range(2):  # the second run has nothing left to do
        run_bundle(NAME, "train.yaml", output_dir=tmp_path / "b", **settings)
        assert (tmp_path / "a/history.csv").read_text() == (tmp_path / "b/history.csv").read_text()
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_classes_of_a_table_and_exams_without_one(phantoms, tmp_path):
    """As after `planewise index --classes`, the classes may be numbers, and any key may hold them."""
    items = {s: load_datalist(phantoms.cardiac.labelled, s) for s in ("training", "validation", "test")}
    for number, item in enumerate(item for part in items.values() for item in part):
        del item["group"]
        if number // 2 != 1:
            item["amyloid"] = number // 2 % 2
    datalist = tmp_path / "datalist.json"
    datalist.write_text(json.dumps(items))
    settings = {"class_key": "amyloid", "classes": [0, 1]}
    train(NAME, datalist, tmp_path / "run", **QUICK | settings)
    assert weights(tmp_path / "run")["head.bias"].shape == (2,)
    # inference needs no class
    infer(
        NAME, datalist, tmp_path / "run", tmp_path / "out", section="training", num_exams=2,
        **settings,
    )  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "out/predictions.csv").open()))
    assert len(rows) == 2 and {row["true"] for row in rows} <= {"0", "1", ""}
    with pytest.raises(RuntimeError) as caught:
        train(NAME, datalist, tmp_path / "none", **QUICK)
    cause = root_cause(caught.value)
    assert isinstance(cause, InputError) and "no class (group)" in str(cause)
