"""Test federated averaging with MONAI's client: sites share weights and nothing else."""

from __future__ import annotations

import hashlib
import json
import math

import pytest
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics, ModelType, WeightType
from monai.fl.utils.exchange_object import ExchangeObject

from tests.bundles.conftest import tiny
from tools.studies import federated
from tools.studies.federated import SITES, TASKS, client, lines, mean_weights, no_worse, study, write_places

SITES_AND_TEST = ("training", "validation", "test")
SMALL = {"samples_per_epoch": 16, "device": "cpu"}


def small(name: str) -> dict:
    # a head that starts with a high probability of background predicts no structures at first, so no distance is
    # defined
    return tiny(name) | SMALL | ({"background_prob": 0.25} if name.endswith("segmentation") else {})


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] if name.startswith("pretext_") else []) for name in TASKS],
)
def places(request, tmp_path_factory):
    """A task, its sites' datalists, and their folder."""
    monkeypatch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("places")
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(folder / "salt"))
    lists = write_places(TASKS[request.param], folder, exams=3, seed=5, spacing=(4.2, 4.6))
    monkeypatch.undo()
    return TASKS[request.param], lists, folder


def digests(datalist, content) -> set[str]:
    """Hashes of the image files in a datalist; exams of two sites may have the same name."""
    paths = {item["image"] for section in SITES_AND_TEST for item in content[section]}
    return {hashlib.sha256((datalist.parent / path).read_bytes()).hexdigest() for path in paths}


def test_rounds_of_two_sites_that_share_weights_alone(places, tmp_path, monkeypatch):
    task, lists, folder = places
    seen = {place: json.loads(path.read_text()) for place, path in lists.items()}
    images = {place: digests(lists[place], seen[place]) for place in seen}
    assert all(not images[one] & images[other] for one in images for other in images if one < other)
    assert all(not seen[site]["test"] for site in SITES) and not seen["elsewhere"]["training"]

    sent, given = [], []
    train, get_weights = MonaiAlgo.train, MonaiAlgo.get_weights

    def spy_train(self, data, extra=None):
        sent.append({name: value.clone() for name, value in data.weights.items()})
        train(self, data, extra)

    def spy_weights(self, extra=None):
        answer = get_weights(self, extra)
        given.append((self.client_name, {name: value.clone() for name, value in answer.weights.items()}, answer))
        return answer

    monkeypatch.setattr(MonaiAlgo, "train", spy_train)
    monkeypatch.setattr(MonaiAlgo, "get_weights", spy_weights)
    table = study(task, lists, tmp_path, rounds=2, **small(task.bundle))

    assert list(table) == ["north alone", "south alone", "rounds", "averaged"]
    assert all(math.isfinite(value) for who in table if who != "rounds" for value in table[who].values())
    assert [set(metrics) for metrics in table["rounds"]] == [set(SITES)] * 2
    # first the initial weights of each single site and of both together; then two rounds of each
    names = [name for name, _, _ in given]
    assert names == ["north"] * 3 + ["south"] * 3 + ["north"] + ["north", "south"] * 2
    first, north, south = (weights for _, weights, _ in given[6:9])
    assert all(torch.equal(sent[4][name], first[name]) and torch.equal(sent[5][name], first[name]) for name in first)
    assert any(not torch.equal(north[name], south[name]) for name in north), (
        "the sites' exams differ, so their weights differ"
    )
    for name, value in sent[6].items():  # equal numbers of steps: the plain mean, sent to both sites
        assert torch.equal(value, sent[7][name])
        mean = (north[name] + south[name]) / 2 if value.is_floating_point() else north[name]
        torch.testing.assert_close(value, mean)
    for _, weights, answer in given:
        assert answer.optim is None and answer.weights.keys() == weights.keys()
        assert all(isinstance(value, torch.Tensor) for value in answer.weights.values())
        assert str(folder) not in str(answer.statistics)
    # the final mean is scored
    stored = torch.load(tmp_path / task.bundle / "averaged/models/model.pt", weights_only=True)
    last = mean_weights([answer for _, _, answer in given[-2:]])
    assert stored.keys() == last.keys()
    assert {path.name for path in (tmp_path / task.bundle / "averaged").glob("*/history.csv")} == {"history.csv"}


def test_a_site_hands_over_its_best_weights_on_request(places, tmp_path):
    """MonaiAlgo looks for them in the bundle's folder unless it is told where the run keeps them."""
    task, lists, _ = places
    settings = {
        **task.settings,
        **small(task.bundle),
        "max_epochs": 2,
        "num_workers": 0,
        "datalist": str(lists["north"]),
    }
    configs = ["configs/train.yaml", "configs/demo.yaml"]
    site = client("north", federated.BUNDLES / task.bundle, configs, settings | {"output_dir": str(tmp_path)}, 1)
    weights = {name: value.clone() for name, value in site.get_weights().weights.items()}
    site.train(ExchangeObject(weights=weights, weight_type=WeightType.WEIGHTS))
    best = site.get_weights({ExtraItems.MODEL_TYPE: ModelType.BEST_MODEL}).weights
    now = site.get_weights().weights
    assert best.keys() == now.keys() and all(torch.equal(best[name], now[name].cpu()) for name in best)
    assert site.trainer.state.epoch == 1
    site.train(ExchangeObject(weights=weights, weight_type=WeightType.WEIGHTS))
    assert site.trainer.state.epoch == 2, "the next round continues the count of epochs"
    site.finalize()


def test_the_mean_is_weighed_by_steps():
    sites = [
        ExchangeObject(
            weights={"a": torch.tensor([value]), "count": torch.tensor(count)},
            statistics={FlStatistics.NUM_EXECUTED_ITERATIONS: steps},
        )
        for value, count, steps in ((1.0, 7, 30), (5.0, 9, 10))
    ]
    mean = mean_weights(sites)
    assert float(mean["a"]) == 2.0 and int(mean["count"]) == 9 and mean["count"].dtype == torch.int64


def test_the_verdict_is_of_the_worse_site():
    task = TASKS["downstream_cardiac_sax_segmentation"]
    table = {
        "north alone": {"mean Dice": 0.4, "mean ASSD, mm": 5.0},
        "south alone": {"mean Dice": 0.6, "mean ASSD, mm": 3.0},
        "averaged": {"mean Dice": 0.41, "mean ASSD, mm": 5.1},
    }
    assert no_worse(task, table) == {"mean Dice": True, "mean ASSD, mm": False}
    assert lines(task, table)[-1] == "| no worse than the worse site | yes | NO |"
    for between in (3.0, 4.0, 5.0):
        table["averaged"]["mean ASSD, mm"] = between
        assert no_worse(task, table)["mean ASSD, mm"]
    table["averaged"]["mean Dice"] = float("nan")
    assert not no_worse(task, table)["mean Dice"]
