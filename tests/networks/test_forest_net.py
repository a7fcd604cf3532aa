from __future__ import annotations

import numpy as np
import pytest
import torch
from planewise.networks import ForestNet
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier


@pytest.fixture(scope="module")
def data():
    return make_classification(300, 10, n_informative=6, n_classes=5, random_state=0)


@pytest.fixture(scope="module")
def forest(data) -> RandomForestClassifier:
    return RandomForestClassifier(30, random_state=0).fit(data[0][:200].astype(np.float32), data[1][:200])


def test_the_network_gives_scikit_learns_probabilities(forest, data):
    net = ForestNet(10, 5, num_trees=30)
    net.copy_forest(forest)
    features = data[0].astype(np.float32)
    expected = forest.predict_proba(features)
    assert np.abs(net(torch.from_numpy(features)).numpy() - expected).max() < 1e-6
    trees = [tree.tree_ for tree in forest.estimators_]
    least = {"max_nodes": max(tree.node_count for tree in trees), "max_depth": max(tree.max_depth for tree in trees)}
    tight = ForestNet(10, 5, num_trees=30, **least)
    tight.copy_forest(forest)
    assert torch.equal(tight(torch.from_numpy(features)), net(torch.from_numpy(features)))
    scripted = torch.jit.script(net)
    assert torch.equal(scripted(torch.from_numpy(features)), net(torch.from_numpy(features)))


def test_a_value_at_a_threshold_takes_the_same_branch_as_in_scikit_learn():
    values = np.arange(8, dtype=np.float32)[:, None]
    forest = RandomForestClassifier(3, random_state=0).fit(values, [0, 0, 1, 1, 0, 0, 1, 1])
    net = ForestNet(1, 2, num_trees=3)
    net.copy_forest(forest)
    # the thresholds are halfway between values, and float32 represents them exactly
    splits = np.unique([tree.tree_.threshold[tree.tree_.children_left >= 0][0] for tree in forest.estimators_])
    between = splits.astype(np.float32)[:, None]
    assert (between == splits[:, None]).all()
    expected = forest.predict_proba(between)
    assert np.abs(net(torch.from_numpy(between)).numpy() - expected).max() < 1e-6
    assert (forest.predict_proba(np.nextafter(between, np.float32(9))) != expected).any()


@pytest.mark.parametrize("other", [{"num_trees": 30, "max_nodes": 15}, {"num_trees": 30, "max_depth": 2}])
def test_a_forest_that_does_not_fit(forest, other):
    with pytest.raises(ValueError):
        ForestNet(10, 5, **other).copy_forest(forest)
