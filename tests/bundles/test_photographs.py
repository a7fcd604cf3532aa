"""Test photographs (Taleb 2020, section 4.3), from pretexts without grades to the bundle that learns the grades."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import monai.bundle
import numpy as np
import planewise
import pytest
import torch
from monai.bundle import ConfigParser
from planewise.data import load_datalist
from planewise.engines import read_history
from planewise.exams import find_photographs
from planewise.exams.photographs import PREDICTIONS
from planewise.files.datalists import SECTIONS

from tests.bundles.conftest import infer, parser_of, plain_parser, run_bundle, train_and_evaluate
from tests.bundles.test_runs import root_cause, same, weights
from tests.bundles.test_volumes import parts
from tests.conftest import ROOT

GRADING, ROTATION = "downstream_retinopathy_grading", "pretext_rotation"
CODING, JIGSAW, SIMCLR = "pretext_contrastive_predictive_coding", "pretext_jigsaw", "pretext_simclr"
#: Sizes for a pretext on photographs; its own demo is for volumes.
SMALL = {"init_features": 8, "growth_rate": 4, "blocks": [1, 1, 1, 1], "image_size": 32, "in_channels": 3}
#: The paper's five pretexts and SimCLR, each with the other settings that make it small. Three patches a side are about 32
#: pixels wide.
PRETEXTS = {
    CODING: {
        "image_size": 96,
        "patches_per_side": 5,
        "num_negatives": 4,
        "embedding": [16, 8],
        "context_features": 8,
        "val_samples": 8,
    },
    "pretext_exemplar": {"code_features": 8, "val_samples": 8},
    JIGSAW: {"image_size": 96, "num_permutations": 20, "patch_features": 8, "head_features": [8]},
    "pretext_relative_patch_location": {
        "image_size": 96,
        "patch_jitter": 1,
        "patch_features": 8,
        "head_features": [8],
        "val_samples": 8,
    },
    ROTATION: {"val_samples": 8},
    SIMCLR: {"projection": [8, 4]},
}
SHORT = {"max_epochs": 2, "samples_per_epoch": 8}


def photographs_of(name: str, *files: str, **settings) -> ConfigParser:
    """A pretext's photograph config on top of other files, with small sizes."""
    return parser_of(name, *files, **SMALL | PRETEXTS[name] | settings)


@pytest.fixture(scope="module")
def graded(phantoms, tmp_path_factory) -> Path:
    """A run from random weights, evaluated."""
    folder = tmp_path_factory.mktemp("graded")
    train_and_evaluate(GRADING, phantoms.photograph.graded, folder, **SHORT)
    return folder


def test_training_and_inference_see_the_same_photograph(phantoms):
    datalist = phantoms.photograph.graded
    item = load_datalist(datalist, "test")[0]
    trained = parser_of(GRADING, "train.yaml").get_parsed_content("train#preprocessing")(dict(item))["image"]
    preprocessing = parser_of(GRADING, "inference.yaml").get_parsed_content("preprocessing")
    inferred = preprocessing(find_photographs(datalist)[0])["image"]
    assert trained.shape == (3, 32, 32) and torch.equal(trained.as_tensor(), inferred.as_tensor())
    assert torch.equal(trained.affine, inferred.affine)


def test_an_evaluation_writes_what_its_predictions_say(graded, phantoms):
    scores = json.loads((graded / "test/metrics.json").read_text())
    with (graded / "test/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    true = {item["exam"]: item["grade"] for item in load_datalist(phantoms.photograph.graded, "test")}
    assert {row["exam"]: int(row["true"]) for row in rows} == true and scores["photographs"] == len(true)
    names = ["mild", "moderate", "severe", "proliferative"]
    for row in rows:
        assert int(row["predicted"]) == sum(float(row[f"p({name} or above)"]) > 0.5 for name in names)
    right = np.mean([row["true"] == row["predicted"] for row in rows])
    assert scores["accuracy"] == pytest.approx(right) and np.sum(scores["confusion"]) == len(true)
    assert scores["epochs"] == 2 and {"val_kappa", "val_loss"} <= set(read_history(graded / "history.csv")[0])
    assert (graded / "test/confusion.png").is_file() and (graded / "test/photographs.png").is_file()


def test_a_persons_own_photographs(graded, phantoms, tmp_path):
    folder = next((phantoms.photograph.folder / "graded").rglob("*.png")).parent
    infer(GRADING, folder, graded, tmp_path, num_exams=2)
    names = sorted(path.stem for path in folder.glob("*.png"))[:2]
    assert {path.name for path in tmp_path.iterdir()} == {*names, "predictions.csv", "predictions.lock"}
    for name in names:
        found = json.loads((tmp_path / name / "grade.json").read_text())
        assert found["grade"] == sum(value > 0.5 for value in found["at_least"].values())
        assert (tmp_path / name / "saliency.png").is_file()
    # results next to the photographs: their grades are not labels
    for name in names:
        shutil.copy(folder / f"{name}.png", tmp_path)
    (tmp_path / "true.csv").write_text(f"image,grade\n{names[0]},4\n")
    result = planewise.index(tmp_path, anatomy="photograph")
    items = [item for section in SECTIONS for item in result.datalist[section]]
    assert {Path(item["image"]).stem: item.get("grade") for item in items} == {names[0]: 4, names[1]: None}
    assert all(item.keys() <= {"image", "exam", "patient", "grade"} for item in items)
    assert ("predictions.csv", PREDICTIONS) in result.unmatched


def test_inference_tells_what_the_evaluation_told(graded, phantoms, tmp_path):
    infer(GRADING, phantoms.photograph.graded, graded, tmp_path)
    told = []
    for path in (tmp_path / "predictions.csv", graded / "test/predictions.csv"):
        with path.open(newline="") as file:
            rows = {row["exam"]: row for row in csv.DictReader(file)}
        told.append({exam: [float(row[key]) for key in row if key.startswith("p(")] for exam, row in rows.items()})
    assert told[0].keys() == told[1].keys() and told[0]
    for exam, probabilities in told[0].items():
        assert len(probabilities) == 4 and probabilities == pytest.approx(told[1][exam], abs=2e-3)


def pretrained(name: str, datalist: Path, folder: Path) -> Path:
    """Train and evaluate a pretext on photographs, including those without a grade."""
    settings = {"datalist": str(datalist), "output_dir": str(folder), "max_epochs": 1, "val_interval": 1}
    settings |= SMALL | PRETEXTS[name] | {"samples_per_epoch": 8, "batch_size": 4, "progress": False}
    configs = ("train.yaml", "evaluate.yaml", "photograph.yaml")
    run_bundle(name, *configs, run_id="train_and_evaluate", **settings)
    return folder


@pytest.fixture(scope="module")
def turned(phantoms, tmp_path_factory) -> Path:
    return pretrained(ROTATION, phantoms.photograph.graded, tmp_path_factory.mktemp("turned"))


def test_a_pretext_tells_four_rotations_of_photographs(turned, phantoms, tmp_path):
    scores = json.loads((turned / "validation/metrics.json").read_text())
    rows = list(csv.DictReader((turned / "validation/photographs.csv").open()))
    assert len(rows) == scores["rotation"]["images"] == 8 and scores["rotation"]["rotations"] == 4
    assert scores["photographs"] == scores["exams"] == len({row["exam"] for row in rows}) < 8, "drawn several times"
    # inference takes the network from the run that made the weights
    where = {"input": str(phantoms.photograph.graded), "num_exams": 1, "output_dir": str(tmp_path)}
    run_bundle(ROTATION, "inference.yaml", "photograph.yaml", weights=turned, **where, **SMALL)
    (features,) = tmp_path.rglob("features.npy")
    assert np.load(features).shape == (1, weights(turned)["head.0.weight"].shape[1]), (
        "one row of features for the photograph"
    )


#: Numbers that the scores of the other pretexts contain, by hand: each of 8 photographs of 5 x 5 patches has 20
#: predictions one row ahead and 15 two rows ahead, each with 4 negatives.
COUNTED = {
    CODING: ("prediction", {"predictions": 8 * 35, "chance": 1 / 5, "chance_of_all": 1 / 25}),
    "pretext_exemplar": ("retrieval", {"dimensions": 8}),
    JIGSAW: ("jigsaw", {"permutations": 20}),
    "pretext_relative_patch_location": ("patch_location", {"places": 8, "queries": 8}),
    SIMCLR: ("retrieval", {"candidates": 3}),
}


@pytest.mark.parametrize("name", COUNTED)
def test_other_pretexts_learn_from_photographs_and_their_weights_go_on_to_grades(name, phantoms, tmp_path):
    datalist = phantoms.photograph.graded
    run = pretrained(name, datalist, tmp_path / "pretext")
    scores = json.loads((run / "validation/metrics.json").read_text())
    part, counted = COUNTED[name]
    assert scores["photographs"] > 0 and scores[part].items() >= counted.items()
    assert sorted(path.name for path in (run / "validation").iterdir() if path.suffix == ".png")
    # the run that wrote the weights records its configs and sizes, so inference needs neither
    folder = ROOT / "bundles" / name
    where = {"input": str(datalist), "num_exams": 1, "output_dir": str(tmp_path / "out"), "weights": str(run)}
    file = str(folder / "configs/inference.yaml")
    monai.bundle.run(config_file=file, logging_file=False, bundle_root=str(folder), **where)
    (features,) = (tmp_path / "out").rglob("features.npy")
    before = parts(weights(run), "encoder")
    assert np.load(features).shape == (1, len(before["encoder.features.norm5.weight"]))
    settings = {"datalist": str(datalist), "pretrained": str(run), "frozen_epochs": 2, **SHORT, "max_epochs": 1}
    run_bundle(GRADING, "train.yaml", output_dir=tmp_path / "grades", **settings)
    assert same(parts(weights(tmp_path / "grades"), "encoder"), before), (
        "a frozen encoder keeps its weights and statistics"
    )


@pytest.mark.parametrize("name", [name for name in PRETEXTS if name != SIMCLR])
def test_the_papers_network_and_schedule_are_those_of_every_pretext(name):
    """DenseNet121 at 224 x 224 in colour; all of its weights load into the grading network by name."""
    parser = plain_parser(name, "train.yaml", "photograph.yaml")
    keys = ("spatial_dims", "in_channels", "image_size", "batch_size", "samples_per_exam", "max_epochs", "lr_step")
    assert [parser[key] for key in keys] == [2, 3, 224, 32, 1, 200, 50] and parser["learning_rate"] == 5e-4
    encoder = parser.get_parsed_content("network_def").encoder
    target = plain_parser(GRADING, "train.yaml").get_parsed_content("network_def").encoder
    assert {name: value.shape for name, value in encoder.state_dict().items()} == {
        name: value.shape for name, value in target.state_dict().items()
    }
    inferring = plain_parser(name, "inference.yaml", "photograph.yaml").get_parsed_content("network_def")
    trained = parser.get_parsed_content("network_def").state_dict()
    assert {name: value.shape for name, value in inferring.state_dict().items()} == {
        name: value.shape for name, value in trained.items()
    }


#: Sides of a patch at the paper's 224 pixels: 224 / (1 + 4 / 2); 224 // 3 minus the jitter of 3.
@pytest.mark.parametrize(("name", "side"), [(CODING, 74), (JIGSAW, 71), ("pretext_relative_patch_location", 71)])
def test_patches_of_photographs_have_the_papers_size(name, side):
    parser = plain_parser(name, "train.yaml", "photograph.yaml")
    # choosing the puzzle's permutations takes seconds and does not affect its tiles
    parser.update({"num_permutations": 10} if name == JIGSAW else {})
    made = parser.get_parsed_content("train#pretext")({"image": torch.rand(2, 3, 224, 224)})["image"]
    pieces = {CODING: 25, JIGSAW: 9}.get(name, 2)
    assert made.shape == (2, 3 * pieces, side, side) and made.min() >= 0 and made.max() <= 1


@pytest.mark.parametrize("name", PRETEXTS)
def test_all_bundles_see_the_same_photograph(name, phantoms):
    datalist = phantoms.photograph.graded
    item = load_datalist(datalist, "test")[0]
    pretext = photographs_of(name, "train.yaml", "photograph.yaml", image_size=32)
    inferred = photographs_of(name, "inference.yaml", "photograph.yaml", image_size=32)
    pixels = [
        parser.get_parsed_content(key)(dict(item))["image"].as_tensor()
        for parser, key in (
            (pretext, "train#preprocessing"),
            (inferred, "preprocessing"),
            (parser_of(GRADING, "train.yaml"), "train#preprocessing"),
        )
    ]
    assert torch.equal(pixels[0], pixels[2]) and torch.equal(pixels[1], pixels[2])


@pytest.mark.parametrize("name", PRETEXTS)
def test_photographs_need_the_config_of_photographs(name, phantoms, tmp_path):
    settings = {"datalist": str(phantoms.photograph.graded), "output_dir": str(tmp_path)}
    with pytest.raises(RuntimeError) as caught:
        run_bundle(name, "train.yaml", **settings)
    assert "add configs/photograph.yaml after" in str(root_cause(caught.value))


def test_five_folds_share_out_the_graded_photographs_by_grade(phantoms, tmp_path):
    where = {"datalist": str(phantoms.photograph.graded), "output_dir": str(tmp_path)}
    validated, grades = [], []
    for fold in range(5):
        parser = parser_of(GRADING, "train.yaml", fold=fold, **where)
        train, valid = (parser.get_parsed_content(f"{block}#dataset#data") for block in ("train", "validate"))
        assert not {item["patient"] for item in train} & {item["patient"] for item in valid}
        validated += [item["exam"] for item in valid]
        grades.append([item["grade"] for item in valid])
    content = load_datalist(where["datalist"], "training") + load_datalist(where["datalist"], "validation")
    assert sorted(validated) == sorted(item["exam"] for item in content if "grade" in item)
    for grade in range(5):
        counts = [fold.count(grade) for fold in grades]
        assert max(counts) - min(counts) <= 1, f"grade {grade}"


def test_imagenets_file_goes_into_the_encoder(phantoms, tmp_path):
    """A file with torchvision's names and the small network's shapes."""
    network = parser_of(GRADING, "train.yaml", datalist="none").get_parsed_content("network_def")
    torch.manual_seed(1)
    public = {name: torch.rand(value.shape) for name, value in
              zip(network.encoder.public_names(), (v for n, v in network.encoder.state_dict().items()
                                                   if not n.endswith("num_batches_tracked")), strict=True)}  # fmt: skip
    torch.save(public | {"classifier.weight": torch.rand(1000, 3)}, tmp_path / "densenet121.pth")
    settings = {"pretrained": str(tmp_path / "densenet121.pth"), "datalist": str(phantoms.photograph.graded)}
    loaded = parser_of(GRADING, "train.yaml", **settings).get_parsed_content("network")
    assert torch.equal(loaded.encoder.features.conv0.weight, public["features.conv0.weight"])


def test_too_many_grades_are_said(phantoms, tmp_path, caplog):
    settings = {"datalist": str(phantoms.photograph.graded), "output_dir": str(tmp_path), **SHORT, "max_epochs": 1}
    with caplog.at_level("INFO"):
        run_bundle(GRADING, "train.yaml", grades=["none", "any", "much", "most"], **settings)
    assert "with the grade 4, which must be in 0..3" in caplog.text
    assert weights(tmp_path)["head.0.weight"].shape[0] == 3
