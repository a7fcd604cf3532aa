from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from planewise.engines import ForestTrainer
from planewise.errors import InputError
from planewise.networks import ForestNet
from sklearn.ensemble import RandomForestClassifier

FEATURES = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
LABELS = (FEATURES[:, 0] > 0).astype(int) + (FEATURES[:, 1] > 0.5)
GROUPS = ("NOR", "DCM", "HCM")


def exams(count: int = 30) -> list[dict]:
    return [
        {
            "exam": f"exam{number}",
            "group": GROUPS[LABELS[number]],
            "image": torch.from_numpy(FEATURES[number]),
            "label": torch.tensor(LABELS[number]),
        }
        for number in range(count)
    ]


def fitted(folder, dataset, seed=0) -> ForestNet:
    network = ForestNet(3, 3, trees=7)
    ForestTrainer(dataset, network, ["a", "b", "c"], folder, folder / "models", seed).run()
    return network


def test_the_file_holds_the_forest_that_scikit_learn_fits(tmp_path):
    unlabelled = {"exam": "without", "image": torch.full((3,), 9.0)}
    network = fitted(tmp_path, [unlabelled, *exams()], seed=3)
    loaded = ForestNet(3, 3, trees=7)
    loaded.load_state_dict(torch.load(tmp_path / "models/model.pt", weights_only=True))
    expected = RandomForestClassifier(7, random_state=3).fit(FEATURES, LABELS).predict_proba(FEATURES)
    for net in (network, loaded):
        assert net(torch.from_numpy(FEATURES)).numpy() == pytest.approx(expected, abs=1e-6)
    other = fitted(tmp_path / "other", exams(), seed=4)
    assert np.abs(other(torch.from_numpy(FEATURES)).numpy() - expected).max() > 0.1


def test_the_table_holds_each_exams_features(tmp_path):
    fitted(tmp_path, exams())
    rows = list(csv.DictReader((tmp_path / "features.csv").open()))
    assert [row["exam"] for row in rows] == [f"exam{number}" for number in range(30)]
    for number, row in enumerate(rows):
        assert row["group"] == GROUPS[LABELS[number]]
        assert [float(row[name]) for name in "abc"] == pytest.approx(FEATURES[number].tolist(), rel=1e-5)


def test_nothing_to_fit_and_a_class_without_exams_are_said(tmp_path):
    with pytest.raises(InputError, match="has masks at ED and ES and a group"):
        fitted(tmp_path, [])
    only = [item for item in exams() if int(item["label"]) != 1]
    with pytest.raises(InputError, match="no training exam is of class 1 of 3"):
        fitted(tmp_path, only)
