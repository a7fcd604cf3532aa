"""Test the transfer of a pretext's weights to a segmentation (Bai 2019, section 2): decoder, all, both tasks together."""

from __future__ import annotations

import json
from copy import deepcopy
from itertools import count
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from planewise.engines import leave_processes, read_history
from torch import nn
from torch.nn.functional import cross_entropy

from tests.bundles.conftest import datalist_for, plain_parser, run_bundle, tiny
from tests.bundles.test_runs import interrupted, same, weights
from tests.conftest import ROOT
from tests.kinds import others_slow

NAME, LONG = "downstream_cardiac_sax_segmentation", "downstream_cardiac_lax_segmentation"
#: Maps each bundle to the pretext on the same view.
PRETEXTS = {NAME: "pretext_cardiac_sax_position", LONG: "pretext_cardiac_lax_position"}
#: Two epochs of the labelled images, and shorter ones of the pretext's images.
SHORT = {"samples_per_epoch": 24, "batch_size": 4, "max_epochs": 2, "val_interval": 1, "num_subjects": 2}
OTHER = {"batch_size": 4, "samples_per_epoch": 12}


def weights_of(pretext: str, folder: Path) -> Path:
    """Untrained weights of a pretext's network with few channels."""
    folder.mkdir(parents=True, exist_ok=True)
    parser = plain_parser(pretext, "train.yaml")
    parser.update(tiny(pretext))
    torch.manual_seed(11)
    torch.save(parser.get_parsed_content("network_def").state_dict(), folder / "pretext.pt")
    return folder / "pretext.pt"


def two_tasks(phantoms, folder: Path, pretext: str = PRETEXTS[NAME], name: str = NAME) -> dict:
    return {
        **SHORT,
        "pretext_settings": OTHER,
        "transfer": "multitask",
        "pretrained": str(weights_of(pretext, folder)),
        "pretext_config": str(ROOT / "bundles" / pretext / "configs/train.yaml"),
        "datalist": str(datalist_for(name, phantoms)),
        "pretext_datalist": str(datalist_for(pretext, phantoms)),
        "device": "cpu",
        "amp": False,
    }


def parser_of(folder: Path, name: str = NAME, **settings) -> ConfigParser:
    parser = plain_parser(name, "train.yaml")
    parser.update(tiny(name) | {"output_dir": str(folder)} | settings)
    return parser


@pytest.mark.parametrize("name", others_slow([NAME, LONG], [NAME]))
def test_both_tasks_learn_what_a_loop_of_the_papers_words_learns(name, phantoms, tmp_path):
    """ "At each iteration, task 1 was optimised for one sub-iteration, followed by optimising task 2 for beta sub-iterations"
    (section 3), with a head and an optimiser for each task. 30 steps on labelled batches come with 8 steps on the
    pretext's batches, which are 3 epochs of the pretext."""
    beta, rate, seed = 4, 2e-3, 3
    given = two_tasks(phantoms, tmp_path, PRETEXTS[name], name)
    given |= {"auxiliary_interval": beta, "learning_rate": rate, "seed": seed, "l1": 0.0}
    given |= {"samples_per_epoch": 40, "max_epochs": 3, "val_interval": 9}
    parser = parser_of(tmp_path / "run", name, **given)
    parser.get_parsed_content("initialize")
    trainer = parser.get_parsed_content("train#trainer")
    task = parser.get_parsed_content("auxiliary_task")

    # both start from the same weights; two heads on one network, as in the paper
    encoder, decoder, head = (deepcopy(getattr(trainer.network, name)) for name in ("encoder", "decoder", "head"))
    pretext_head = deepcopy(task.network.head)
    assert torch.equal(pretext_head.maps.weight, torch.load(given["pretrained"])["head.maps.weight"])
    everything = nn.ModuleList([encoder, decoder, head, pretext_head]).train()
    adams = [torch.optim.Adam(everything.parameters(), lr=rate, fused=True) for _ in range(2)]

    # each task draws batches by its own configuration
    labelled = parser_of(tmp_path / "none", name, **given | {"transfer": "scratch", "pretrained": None})
    pretext = ConfigParser(ConfigParser.load_config_file(given["pretext_config"]))
    small = tiny(PRETEXTS[name]) | {"output_dir": str(tmp_path / "none"), "device": "cpu", "seed": seed}
    pretext.update(small | {"datalist": given["pretext_datalist"], "batch_size": 4, "samples_per_epoch": 12})

    def batches(of: ConfigParser, targets):
        """Yield the image and the target of each step, endlessly."""
        dataset, sampler = of.get_parsed_content("train#dataset"), of.get_parsed_content("train#sampler")
        changes = [of.get_parsed_content("train#augmentation")]
        changes += [of.get_parsed_content("train#pretext")] if "train#pretext" in of else []
        step = 0
        for epoch in count(1):
            sampler.set_epoch(epoch)
            order = list(sampler)
            for first in range(0, len(order), 4):
                step += 1
                torch.manual_seed(seed * 1_000_003 + step)
                batch = dataset.__getitems__(order[first : first + 4])
                for change in changes:
                    batch = change(batch)
                yield batch["image"], targets(batch)

    task_1, task_2 = batches(pretext, lambda b: b["squares"]), batches(labelled, lambda b: b["label"][:, 0].long())

    def step(image, target, own_head, adam):
        adam.zero_grad(set_to_none=True)
        decoded = decoder(encoder(image))
        cross_entropy(own_head.maps(decoded), target, ignore_index=-1).backward()
        adam.step()

    for iteration in range(30):
        if iteration % beta == 0:
            step(*next(task_1), pretext_head, adams[0])
        step(*next(task_2), head, adams[1])

    trainer.run()
    assert trainer.state.iteration == 30
    for expected, found in (
        (encoder, trainer.network.encoder),
        (decoder, trainer.network.decoder),
        (head, trainer.network.head),
        (pretext_head, task.network.head),
    ):
        assert expected.state_dict().keys() == found.state_dict().keys()
        for key, value in expected.state_dict().items():
            assert torch.equal(value, found.state_dict()[key]), key


def test_killed_and_resumed_it_ends_bit_equal_and_the_rest_is_ordinary(phantoms, tmp_path):
    given = two_tasks(phantoms, tmp_path) | {"max_epochs": 2, "auxiliary_interval": 5}
    run_bundle(NAME, "train.yaml", "evaluate.yaml", run_id="train_and_evaluate", output_dir=tmp_path / "a", **given)
    # epochs of 6 steps: the second begins between two steps of the pretext, which are in the middle of its own epoch
    interrupted(NAME, "train.yaml", after_epoch=1, output_dir=tmp_path / "b", **given)
    run_bundle(NAME, "train.yaml", output_dir=tmp_path / "b", **given)
    one, other = (weights(tmp_path / name, "last.ckpt") for name in "ab")
    assert one["learner"].keys() == one["network"].keys() | {"other.head.maps.weight", "other.head.maps.bias"}
    for part in ("network", "learner"):
        assert same(one[part], other[part])
    assert str(one["optimizer"]) == str(other["optimizer"])
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    rows = read_history(tmp_path / "b/history.csv")
    assert (tmp_path / "a/history.csv").read_text() == (tmp_path / "b/history.csv").read_text()
    assert all(row["pretext_loss"] > 0 for row in rows) and len(rows) == 2

    ordinary = parser_of(tmp_path / "none", datalist=given["datalist"]).get_parsed_content("network_def")
    assert weights(tmp_path / "a").keys() == ordinary.state_dict().keys()
    assert json.loads((tmp_path / "a/test/metrics.json").read_text())["volumes"] > 0
    # evaluation and inference do not mention the other task
    plain = {key: given[key] for key in ("datalist", "device", "amp")}
    run_bundle(NAME, "train.yaml", "evaluate.yaml", output_dir=tmp_path / "b", **plain)
    assert (tmp_path / "a/test/metrics.json").read_text() == (tmp_path / "b/test/metrics.json").read_text()


def teardown_module() -> None:
    leave_processes()
