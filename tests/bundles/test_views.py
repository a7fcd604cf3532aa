"""Test that the pretexts of two views, SimCLR and BYOL, learn, resume completely and report bad input."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from monai.bundle import ConfigParser
from planewise.engines import ViewsInferer
from planewise.errors import InputError
from planewise.metrics import effective_rank, retrieval_accuracy
from planewise.networks import AlexNetEncoder

from tests.bundles.conftest import BUNDLES, run_bundle, tiny_size, train_and_evaluate
from tests.bundles.test_pieces import parser_of, worsened_by_its_loss_turned
from tests.bundles.test_runs import interrupted, root_cause, same, weights
from tests.conftest import ROOT

SIMCLR, BYOL = "pretext_simclr", "pretext_byol"
#: Bundles whose config makes two views of each slice.
TWO_VIEWS = [
    name
    for name in BUNDLES
    if "planewise.pretexts.TwoViewsd" in (ROOT / "bundles" / name / "configs/train.yaml").read_text()
]
#: Enough to learn something in seconds.
QUICK = {
    "features": [8, 16, 32],
    "learning_rate": 0.003,
    "projection": [64, 32],
    "batch_size": 32,
    "max_epochs": 1,
    "amp": False,
    # mild views, which a network learns to distinguish within seconds
    "zoom": [1.0, 1.2],
    "shift": 0.05,
    "flip_prob": 0.0,
    "noise": 0.0,
    "blur_prob": 0.0,
}


def scored(parser) -> dict[str, float]:
    """Scores on unseen exams: the loss, how often the other view of a slice is the most similar of 8, and the effective
    number of directions of the embeddings.
    """
    network = parser.get_parsed_content("network")
    dataset = parser.get_parsed_content("validate#dataset")
    rows = torch.linspace(0, len(dataset) - 1, 8).round().long().tolist()
    found = []
    network.eval()
    for seed in range(16):
        torch.manual_seed(seed)
        batch = parser.get_parsed_content("train#pretext")(dataset.__getitems__(rows))
        with torch.no_grad():
            found.append(ViewsInferer()(batch["image"], network))
    evaluator = parser.get_parsed_content("validate#evaluator")
    evaluator.run()
    return {
        "loss": evaluator.state.metrics["val_loss"],
        "top1": sum(retrieval_accuracy(views, (1,))[0] for views in found) / len(found),
        "rank": effective_rank(torch.cat(found)[:, 0]),
    }


@pytest.mark.parametrize("name", [SIMCLR, pytest.param(BYOL, marks=pytest.mark.slow)])
def test_it_learns_on_phantoms_and_not_with_its_loss_turned(name, phantoms, tmp_path):
    """SimCLR must find the other view of a slice (160 steps from two seeds gained .30 and .31); its loss on a few unseen
    slices depends on the seed and on the processor's rounding. BYOL has no negatives and need not find it; its loss
    must fall.
    """
    settings = QUICK | {"samples_per_epoch": 32 * 160} | ({"momentum": 0.9} if name == BYOL else {})
    torch.manual_seed(0)
    parser = parser_of(name, phantoms.cardiac.unlabelled, tmp_path / "right", **settings)
    trainer = parser.get_parsed_content("train#trainer")
    before = scored(parser)
    trainer.run()
    learned = scored(parser)
    assert learned["rank"] > 4, "it has not collapsed"
    if name == SIMCLR:
        assert learned["top1"] > before["top1"] + 0.15, "chance is 1 / 8"
    else:
        assert learned["loss"] < 0.85 * before["loss"]
    torch.manual_seed(0)
    settings |= {"samples_per_epoch": 32 * 8}
    parser = parser_of(name, phantoms.cardiac.unlabelled, tmp_path, **settings)
    assert worsened_by_its_loss_turned(parser) > 1.2
    turned = scored(parser)
    assert 0.85 * before["loss"] < turned["loss"]
    if name == SIMCLR:
        assert before["top1"] + 0.1 > turned["top1"]


@pytest.mark.parametrize("name", TWO_VIEWS)
def test_what_is_kept_is_the_network_and_what_resumes_is_all(name, phantoms, tmp_path):
    settings = QUICK | {"datalist": str(phantoms.cardiac.unlabelled), "samples_per_epoch": 64, "val_interval": 1}
    settings |= {"max_epochs": 3}
    run_bundle(name, "train.yaml", **settings | {"output_dir": str(tmp_path / "whole")})
    interrupted(name, "train.yaml", after_epoch=1, **settings | {"output_dir": str(tmp_path / "parts")})
    run_bundle(name, "train.yaml", **settings | {"output_dir": str(tmp_path / "parts")})
    whole, parts = (weights(tmp_path / folder, "last.ckpt")["learner"] for folder in ("whole", "parts"))
    learner = ConfigParser.load_config_file(str(ROOT / "bundles" / name / "configs/train.yaml"))["learner_def"]
    heads = {
        part
        for part, defined in learner.items()
        if isinstance(defined, dict) and defined["_target_"] != "torch.nn.Identity"
    }
    teacher = learner["_target_"].endswith(".ByolLearner")
    assert heads and heads <= {"projector", "predictor"}
    heads |= {"target_network", "target_projector"} if teacher else set()
    assert {key.split(".")[0] for key in whole} == {"network"} | heads
    assert same(whole, parts)
    assert {key.split(".")[0] for key in weights(tmp_path / "whole")} == {"encoder"}
    slow = [key for key in whole if key.startswith("target_network") and key.endswith("conv.weight")]
    assert bool(slow) == teacher
    assert not any(torch.equal(whole[key], whole[key.removeprefix("target_")]) for key in slow)


@pytest.mark.parametrize("name", [SIMCLR, pytest.param(BYOL, marks=pytest.mark.slow)])
def test_knees_by_one_more_config(name, phantoms, tmp_path):
    """With a learning rate of zero, the weights from the ImageNet file are unchanged at the end."""
    torch.manual_seed(1)  # with the run's own seed, its random weights would equal those of the file
    alexnet = AlexNetEncoder(tiny_size("pretext_knee_location")["features"]).state_dict()
    torch.save({**alexnet, "classifier.6.weight": torch.zeros(10, 4)}, tmp_path / "alexnet.pth")
    train_and_evaluate(
        name,
        phantoms.knee.unlabelled,
        tmp_path,
        "knee.yaml",
        imagenet=tmp_path / "alexnet.pth",
        learning_rate=0.0,
        section="test",
        batch_size=8,
        samples_per_epoch=16,
        max_epochs=1,
        val_interval=1,
        projection=[16, 8],
        **tiny_size("pretext_knee_location"),
    )
    metrics = json.loads((tmp_path / "test/metrics.json").read_text())
    assert 0 <= metrics["retrieval"]["top1"] <= metrics["retrieval"]["top5"] <= 1 and metrics["probe"]["slices"] > 0
    assert {"neighbours.png", "probe.csv"} <= {path.name for path in (tmp_path / "test").iterdir()}
    rows = list(csv.DictReader((tmp_path / "test/slices.csv").open()))
    assert len(rows) == metrics["slices"]
    kept = torch.load(tmp_path / "models/model.pt", weights_only=True)
    assert kept.keys() == {f"encoder.{key}" for key in alexnet}
    assert all(torch.equal(kept[f"encoder.{key}"], value) for key, value in alexnet.items())


def test_a_batch_of_one_slice_says_what_to_change(phantoms, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        run_bundle(
            SIMCLR,
            "train.yaml",
            **QUICK
            | {
                "datalist": str(phantoms.cardiac.unlabelled),
                "output_dir": str(tmp_path),
                "head_norm": "none",
                "samples_per_epoch": 4,
                "batch_size": 1,
            },
        )
    cause = root_cause(caught.value)
    assert isinstance(cause, InputError) and "--batch_size of 2 or more" in str(cause)


def test_the_rate_of_simsiams_predictor_stays_while_the_others_falls(tmp_path):
    """Chen and He 2021, section 4.2: the learning rate follows half a period of a cosine, so after 2 of 4 epochs it is half
    its first value; the predictor's rate stays.
    """
    parser = parser_of("pretext_simsiam", tmp_path, tmp_path, max_epochs=4, learning_rate=0.5)
    learner, optimizer, schedule = (parser.get_parsed_content(key) for key in ("learner", "optimizer", "lr_scheduler"))
    optimizer.step()
    for _ in range(2):
        schedule.step()
    rates = {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}
    for part, rate in ((learner.network, 0.25), (learner.projector, 0.25), (learner.predictor, 0.5)):
        assert {rates[id(weight)] for weight in part.parameters()} == {rate}
