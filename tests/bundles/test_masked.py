"""Test that masked autoencoders, with a U-Net and with a transformer, learn and explain bad input."""

from __future__ import annotations

import json
import math

import pytest
import torch
from planewise.metrics.pretexts import mean_of_seen, restoration_errors
from planewise.networks import load_pretrained

from tests.bundles.conftest import infer, plain_parser, run_bundle
from tests.bundles.test_pieces import parser_of, worsened_by_its_loss_turned
from tests.bundles.test_restoration import Recorder, check_files
from tests.bundles.test_runs import interrupted, same, weights

MASKED = "pretext_masked_autoencoder"
#: Enough to learn something in seconds.
QUICK = {
    "features": [8, 16, 32],
    "patch_size": 4,
    "learning_rate": 0.003,
    "batch_size": 8,
    "samples_per_epoch": 640,
    "max_epochs": 1,
    "amp": False,
    "val_samples_per_exam": "all",
    "writes": False,
}
#: A transformer as small as the tests' images.
VIT = {
    "patch_size": 8, "image_size": 48, "spacing": 5.8, "hidden_size": 48, "mlp_dim": 96, "num_layers": 3, "num_heads": 4,
    "decoder_hidden_size": 32, "decoder_num_layers": 1, "decoder_num_heads": 4,
}  # fmt: skip
SCHEDULE = {"warmup_epochs": 1, "batch_size": 8, "val_interval": 1, "samples_per_epoch": 16}


def mean_as_answer(parser) -> float:
    """The error of predicting the mean, which needs no network, for the patches that validation hides."""
    batches = iter(parser.get_parsed_content("validate#dataloader"))
    prepare = parser.get_parsed_content("validate#evaluator").prepare_batch
    errors = []
    for number, batch in enumerate(batches):
        torch.manual_seed(number)
        image, target = prepare(batch, "cpu")
        errors.append(restoration_errors(mean_of_seen(image, target["hidden"]), target["restored"], target["hidden"]))
    return float(torch.cat(errors).mean())


@pytest.mark.parametrize(
    ("files", "settings", "share"),
    [
        ((), {}, 0.75),
        pytest.param(
            ("vit.yaml",),
            VIT | {"patch_size": 4, "warmup_epochs": 0.25, "samples_per_epoch": 1200},
            0.93,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["unet", "vit"],
)
def test_it_learns_on_phantoms_and_not_with_its_loss_turned(files, settings, share, phantoms, tmp_path):
    """On exams that it has not seen, the network predicts hidden pixels better than the slice's mean does."""
    settings = QUICK | settings
    torch.manual_seed(0)
    parser = parser_of(MASKED, phantoms.cardiac.unlabelled, tmp_path / "right", *files, **settings)
    trainer, evaluator = (parser.get_parsed_content(key) for key in ("train#trainer", "validate#evaluator"))
    trainer.run()
    evaluator.run()
    mean = mean_as_answer(parser)
    assert evaluator.state.metrics["val_loss"] < share * mean, (
        "the network's error is too large compared with the mean's"
    )
    torch.manual_seed(0)
    settings |= {"samples_per_epoch": 48}
    parser = parser_of(MASKED, phantoms.cardiac.unlabelled, tmp_path, *files, **settings)
    assert worsened_by_its_loss_turned(parser) > 1.1
    assert parser.get_parsed_content("validate#evaluator").state.metrics["val_loss"] > mean


def test_no_hidden_pixel_is_seen_and_every_hidden_one_is_asked_for(phantoms, tmp_path):
    parser = parser_of(
        MASKED, phantoms.cardiac.unlabelled, tmp_path, **QUICK | {"samples_per_epoch": 8, "patch_size": 8}
    )
    trainer = parser.get_parsed_content("train#trainer")
    trainer.network = Recorder(trainer.network)
    trainer.run()
    (image,) = trainer.network.seen
    target = trainer.state.output["label"]
    # 27 of 36 patches
    assert target["hidden"].flatten(1).float().mean(dim=1).tolist() == [0.75] * 8
    assert not image[target["hidden"]].any()
    assert torch.equal(image[~target["hidden"]], target["restored"][~target["hidden"]])
    squares = (trainer.state.output["pred"].detach() - target["restored"])[target["hidden"]].square()
    assert float(trainer.state.output["loss"]) == pytest.approx(float(squares.mean()), rel=1e-4)


def test_settings_reach_the_patches(phantoms, tmp_path):
    settings = QUICK | {"patch_size": 12, "mask_ratio": 0.5, "normalize_patches": True}
    parser = parser_of(MASKED, phantoms.cardiac.unlabelled, tmp_path, **settings)
    trainer = parser.get_parsed_content("train#trainer")
    _, target = trainer.prepare_batch(next(iter(trainer.data_loader)), "cpu")
    assert target["hidden"][:, 0, ::12, ::12].flatten(1).sum(dim=1).tolist() == [8] * 8
    patches = target["restored"].reshape(8, 4, 12, 4, 12)
    assert patches.mean(dim=(2, 4)).abs().max() < 1e-3


def test_the_transformer_trains_resumes_evaluates_infers_and_transfers(phantoms, tmp_path):
    datalist = str(phantoms.cardiac.unlabelled)
    settings = VIT | SCHEDULE | {"datalist": datalist, "max_epochs": 2}
    files = ("train.yaml", "evaluate.yaml", "vit.yaml")
    run_bundle(MASKED, *files, run_id="train_and_evaluate", output_dir=tmp_path / "a", **settings)
    interrupted(MASKED, *files, run_id="train_and_evaluate", after_epoch=1, output_dir=tmp_path / "b", **settings)
    run_bundle(MASKED, *files, run_id="train_and_evaluate", output_dir=tmp_path / "b", **settings)
    last = [weights(tmp_path / folder, "last.ckpt")["network"] for folder in "ab"]
    assert same(*last) and (tmp_path / "a/history.csv").read_text() == (tmp_path / "b/history.csv").read_text()
    scores = json.loads((tmp_path / "a/validation/metrics.json").read_text())
    assert scores["restoration"]["images"] == scores["slices"] and scores["restoration"]["hidden"]["restored"] > 0
    infer(MASKED, datalist, tmp_path / "a", tmp_path / "out", "vit.yaml", num_exams=1, **VIT)
    check_files(tmp_path / "out", 48)
    # sizes in the downstream bundles' own vit.yaml
    own = {
        name: VIT[name] for name in ("image_size", "patch_size", "hidden_size", "mlp_dim", "num_layers", "num_heads")
    }
    trained = weights(tmp_path / "a")
    for name, more in (("cardiac_sax_segmentation", {"features": [4, 6, 8]}), ("knee_injury_classification", {})):
        parser = plain_parser(f"downstream_{name}", "train.yaml", "vit.yaml")
        parser.update(own | more)
        network = load_pretrained(parser.get_parsed_content("network_def"), tmp_path / "a")
        encoder = {name: value for name, value in network.state_dict().items() if name.startswith("encoder.")}
        assert len(encoder) > 30 and all(torch.equal(trained[name], value) for name, value in encoder.items())


def test_the_transformers_schedule(phantoms, tmp_path):
    """He et al. 2022, Table 8."""
    settings = VIT | SCHEDULE | {"batch_size": 16, "samples_per_epoch": 64, "max_epochs": 10, "warmup_epochs": 2}
    parser = parser_of(MASKED, phantoms.cardiac.unlabelled, tmp_path, "vit.yaml", **settings)
    optimizer, schedule = (parser.get_parsed_content(name) for name in ("optimizer", "lr_scheduler"))
    decaying, others = optimizer.param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.05, 0) and decaying["betas"] == (0.9, 0.95)
    # matrices decay, biases and factors of normalisations do not
    assert {values.ndim > 1 for values in decaying["params"]} == {True}
    assert {values.ndim for values in others["params"]} == {1}
    network = parser.get_parsed_content("network")
    trained = [values for values in network.parameters() if values.requires_grad]
    assert len(decaying["params"]) + len(others["params"]) == len(trained)
    rates = []
    for _ in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    highest = 1.5e-4 * 16 / 256
    wanted = [highest * step / 8 for step in range(8)]
    wanted += [highest * (1 + math.cos(math.pi * step / 32)) / 2 for step in range(32)]
    assert rates == pytest.approx(wanted)


def test_the_transformers_rate_is_for_the_step_of_all_processes(phantoms, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    parser = parser_of(MASKED, phantoms.cardiac.unlabelled, tmp_path, "vit.yaml", **VIT | SCHEDULE | {"batch_size": 16})
    assert parser.get_parsed_content("learning_rate") == pytest.approx(1.5e-4 * 64 / 256)
