from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from planewise.engines import ForestTrainer
from planewise.errors import InputError
from planewise.networks import ForestNet
from sklearn.ensemble import RandomForestClassifier

NAMES = ("volume", "mass", "age")


def exams(classes: int = 3) -> list[dict]:
    """Eight exams of each class; one feature depends partly on the class."""
    draw = torch.Generator().manual_seed(0)
    return [
        {
            "image": torch.randn(3, generator=draw) + torch.tensor([label, 0, 0]),
            "label": torch.tensor(label),
            "exam": f"e{number}{label}",
            "group": "abc"[label],
        }
        for number in range(8)
        for label in range(classes)
    ]


def trainer(folder, items: list[dict], seed: int = 0) -> ForestTrainer:
    return ForestTrainer(items, ForestNet(3, 3, num_trees=7), NAMES, folder / "run", folder / "run/models", seed)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_weights_are_scikit_learns_forest_of_this_seed(seed, tmp_path):
    items = exams()
    trainer(tmp_path, items, seed).run()
    features = torch.stack([item["image"] for item in items]).numpy()
    forest = RandomForestClassifier(n_estimators=7, random_state=seed).fit(features, [int(i["label"]) for i in items])
    network = ForestNet(3, 3, num_trees=7)
    network.load_state_dict(torch.load(tmp_path / "run/models/model.pt", weights_only=True))
    new = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)
    assert network(torch.from_numpy(new)).numpy() == pytest.approx(forest.predict_proba(new), abs=1e-6)


def test_the_table_has_each_exams_own_features(tmp_path):
    # the forest does not learn from an exam without a label
    items = exams()
    unlabelled = {key: value for key, value in items[0].items() if key != "label"} | {"exam": "unknown"}
    trainer(tmp_path, [unlabelled, *items]).run()
    with open(tmp_path / "run/features.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["exam"] for row in rows] == [item["exam"] for item in items]
    for row, item in zip(rows, items, strict=True):
        assert row["group"] == item["group"]
        assert [float(row[name]) for name in NAMES] == pytest.approx(item["image"].tolist(), rel=1e-3, abs=1e-3)


def test_nothing_to_fit_is_an_error(tmp_path):
    with pytest.raises(InputError):
        trainer(tmp_path, [{"image": torch.zeros(3), "exam": "e", "group": "a"}]).run()
    with pytest.raises(InputError):
        trainer(tmp_path, exams(classes=2)).run()
