"""Test the bundles of 4-chamber images, from the NIfTI files of two data sets to numbers and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from planewise.engines import read_history
from planewise.errors import InputError
from planewise.exams import index_folder, write_datalist
from planewise.geometry import square_names
from planewise.workshop.phantoms import LABELLED, Recipe, write_exams

from tests.bundles.conftest import infer, plain_parser, run_bundle, tiny, train_and_evaluate
from tests.bundles.test_pieces import parser_of
from tests.bundles.test_runs import interrupted, root_cause, same, weights
from tests.conftest import ROOT

SEGMENTATION, POSITION = "downstream_cardiac_lax_segmentation", "pretext_cardiac_lax_position"
SHORT = {"samples_per_epoch": 16, "max_epochs": 1, "val_interval": 1}
THREE = {"1": "RV", "2": "myocardium", "3": "LV"}


@pytest.fixture(scope="module")
def mnms2(tmp_path_factory):
    """Four exams of M&Ms-2, whose masks have three structures and other codes."""
    folder = tmp_path_factory.mktemp("mnms2")
    recipe = Recipe("mnms2", 36, LABELLED.at_size("demo").with_values(phases=2, spacing=(3.6, 4.2)))
    list(write_exams(recipe, folder / "exams", 4))
    write_datalist(index_folder(folder / "exams", view="4ch", split=(0.5, 0.25, 0.25)).datalist, folder / "mnms2.json")
    return folder / "mnms2.json"


def test_five_structures_are_scored_and_written_on_the_images_own_grid(phantoms, tmp_path):
    datalist = phantoms.cardiac.four_chamber
    train_and_evaluate(SEGMENTATION, datalist, tmp_path / "run", save_masks=True, **SHORT)
    items = json.loads(datalist.read_text())["test"]
    scores = json.loads((tmp_path / "run/test/metrics.json").read_text())
    assert scores["volumes"] == len(items) and list(scores["structures"]) == ["RV", "myocardium", "LV", "LA", "RA"]
    assert all("contour_mm" in entry for entry in scores["structures"].values())
    assert (tmp_path / "run/test/segmentations.png").stat().st_size > 10_000
    infer(SEGMENTATION, datalist, tmp_path / "run", tmp_path / "out")
    for item in items:
        image = nibabel.load(datalist.parent / item["image"])
        written = [tmp_path / f"run/test/masks/{item['exam']}_{item['phase']}.nii.gz"]
        # inference on an exam takes its first phase
        written += [tmp_path / f"out/{item['exam']}/{item['exam']}_mask.nii.gz"] if item["phase"] == "ED" else []
        for file in written:
            mask = nibabel.load(file)
            assert mask.shape == (*image.shape[:2], 1)
            assert np.allclose(mask.affine[:3, [0, 1, 3]], image.affine[:3, [0, 1, 3]], atol=1e-3)
            assert set(np.unique(np.asarray(mask.dataobj))) <= set(range(6))


def test_masks_come_in_our_codes_and_what_is_no_structure_is_background(phantoms, tmp_path):
    item = json.loads(phantoms.cardiac.four_chamber.read_text())["training"][0]
    mask = np.asarray(nibabel.load(phantoms.cardiac.four_chamber.parent / item["label"]).dataobj)
    found = {}
    for structures in (THREE, THREE | {"4": "LA", "5": "RA"}):
        parser = plain_parser(SEGMENTATION, "train.yaml")
        where = {"datalist": str(phantoms.cardiac.four_chamber), "output_dir": str(tmp_path), "device": "cpu"}
        parser.update(tiny(SEGMENTATION) | where | {"structures": structures, "spacing": 3.6, "image_size": 128})
        load, keep = parser.get_parsed_content("train#preprocessing").transforms[:2]
        paths = {key: str(phantoms.cardiac.four_chamber.parent / item[key]) for key in ("image", "label")}
        label = keep(load({**item, **paths}))["label"].numpy()[0, ..., 0]
        found[len(structures)] = label
    # UK Biobank's 1 is the left ventricle
    expected = np.choose(mask.reshape(mask.shape[:2]).astype(int), [0, 3, 2, 1, 4, 5])
    assert np.array_equal(found[5], expected) and set(np.unique(expected)) == set(range(6))
    assert np.array_equal(found[3], np.where(expected > 3, 0, expected))


def test_weights_of_five_structures_are_scored_by_masks_of_three(mnms2, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("tests.bundles.conftest.tiny", lambda _: {})  # the weights have their own settings
    given = {"datalist": str(mnms2), "output_dir": str(tmp_path), "section": "training"}
    shipped = ROOT / "bundles" / SEGMENTATION / "models/model.pt"
    run_bundle(SEGMENTATION, "train.yaml", "evaluate.yaml", weights=shipped, device="cpu", **given)
    assert list(json.loads((tmp_path / "training/metrics.json").read_text())["structures"]) == list(THREE.values())
    assert "structures that are not scored, because the masks cannot contain them: LA, RA" in caplog.text


def test_mnms2_has_three_structures_and_five_are_refused(mnms2, tmp_path):
    given = {"datalist": str(mnms2), "output_dir": str(tmp_path / "run"), "section": "training", **SHORT}
    with pytest.raises(RuntimeError) as caught:
        run_bundle(SEGMENTATION, "train.yaml", "evaluate.yaml", run_id="train_and_evaluate", **given)
    assert isinstance(root_cause(caught.value), InputError)
    said = str(root_cause(caught.value))
    assert "becomes LA or RA" in said and "name the structures that they have with --structures" in said
    given |= {"structures": THREE, "output_dir": str(tmp_path / "three")}
    run_bundle(SEGMENTATION, "train.yaml", "evaluate.yaml", run_id="train_and_evaluate", **given)
    scores = json.loads((tmp_path / "three/training/metrics.json").read_text())
    assert list(scores["structures"]) == list(THREE.values())


def position_parser(datalist: Path, folder: Path, **settings) -> ConfigParser:
    return parser_of(POSITION, datalist, folder, cache_dir=str(folder / "cache"), **settings)


def test_the_nine_classes_have_the_anatomical_order_on_a_real_exam(real_data, tmp_path):
    """We also inspected the picture: the crossing lies in the left ventricle, the lung to its left, the right ventricle to
    its right, the left atrium superior and the apex inferior.
    """
    result = index_folder(real_data / "cardiac_cine_exam", view="4ch", split=(1, 0, 0))
    write_datalist(result.datalist, tmp_path / "datalist.json")
    parser = position_parser(tmp_path / "datalist.json", tmp_path, spacing=1.82, image_size=208)
    dataset, pretext = (parser.get_parsed_content(f"train#{key}") for key in ("dataset", "pretext"))
    assert len(dataset) == 2, "one slice at end-diastole and one near end-systole"
    made = pretext(dataset.__getitems__([0, 1]))
    assert made["square_inside"].all() and set(made["squares"].unique().tolist()) == set(range(10))
    names = square_names(parser.get("ends"))
    assert names[1::2] == ("left", "right", "superior", "inferior"), "the classes' order, which weights rely on"
    places = dict(zip(names, made["square_centres"][0].tolist(), strict=True))
    x, y, z = zip(*(places[name] for name in ("far left", "left", "crossing", "right", "far right")), strict=True)
    assert list(x) == sorted(x), "RAS+: x grows to the patient's right"
    x, y, z = zip(
        *(places[n] for n in ("far inferior", "inferior", "crossing", "superior", "far superior")), strict=True
    )
    assert list(z) == sorted(z) and list(y) == sorted(y, reverse=True), "the base is above the apex and behind it"
    # each label lies at the position of its centre
    for number, centre in enumerate(made["square_centres"][0], 1):
        pixels = torch.nonzero(made["squares"][0] == number).double().mean(dim=0)
        there = made["affine"][0, :3, :2] @ pixels + made["affine"][0, :3, 3]
        assert float((there - centre).norm()) < 1.0


def test_an_exam_without_2ch_gives_its_message(phantoms, tmp_path, caplog):
    content = json.loads(phantoms.cardiac.four_chamber.read_text())
    exam = content["training"][0]["exam"]
    for item in content["training"]:
        if item["exam"] == exam:
            del item["planes"]["2ch"]
    changed = phantoms.cardiac.four_chamber.parent / "without_2ch.json"
    changed.write_text(json.dumps(content))
    items = position_parser(changed, tmp_path).get_parsed_content("train#dataset").items
    assert items and exam not in {item["exam"] for item in items}
    assert f"slices left out: exam {exam} has no 2ch view (it has sax)" in caplog.text


def test_from_4_chamber_images_to_positions(phantoms, tmp_path):
    datalist = phantoms.cardiac.four_chamber
    train_and_evaluate(POSITION, datalist, tmp_path / "run", **SHORT)
    scores = json.loads((tmp_path / "run/validation/metrics.json").read_text())
    names = list(scores["positions"]["squares"])
    assert names == list(square_names(["L", "SP"])) and 0 <= scores["positions"]["dice"] < 1
    infer(POSITION, datalist, tmp_path / "run", tmp_path / "out", num_exams=1)
    (found,) = (tmp_path / "out").rglob("positions.json")
    (entry,) = json.loads(found.read_text())["slices"]
    assert list(entry["centres"]) == names
    (mask,) = (tmp_path / "out").rglob("*_squares.nii.gz")
    assert nibabel.load(mask).shape[2] == 1


def test_both_tasks_at_once_resume_bit_equal(phantoms, tmp_path):
    torch.manual_seed(2)
    parser = position_parser(phantoms.cardiac.four_chamber, tmp_path)
    torch.save(parser.get_parsed_content("network_def").state_dict(), tmp_path / "pretext.pt")
    given = {
        **SHORT,
        "max_epochs": 2,
        "transfer": "multitask",
        "pretrained": str(tmp_path / "pretext.pt"),
        "datalist": str(phantoms.cardiac.four_chamber),
        "pretext_datalist": str(phantoms.cardiac.four_chamber),
        "pretext_settings": {"batch_size": 4, "samples_per_epoch": 8},
        "auxiliary_interval": 2,
    }
    run_bundle(SEGMENTATION, "train.yaml", output_dir=tmp_path / "a", **given)
    interrupted(SEGMENTATION, "train.yaml", after_epoch=1, output_dir=tmp_path / "b", **given)
    run_bundle(SEGMENTATION, "train.yaml", output_dir=tmp_path / "b", **given)
    assert same(weights(tmp_path / "a", "last.ckpt")["learner"], weights(tmp_path / "b", "last.ckpt")["learner"])
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert all(np.isfinite(row["pretext_loss"]) for row in read_history(tmp_path / "a/history.csv"))
