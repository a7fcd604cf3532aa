"""Test probes of frozen features against loops written from their definitions."""

import math

import numpy as np
import pytest
import torch
from planewise.metrics import linear_probe


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(14, 5, generator=generator) * torch.tensor([1.0, 10.0, 0.1, 3.0, 1.0]) + 7.0
    targets = torch.stack([features[:, 0] - 0.5 * features[:, 2], (features[:, 1] > 7).float()], dim=1)
    return features, targets, torch.randn(4, 5, generator=generator) + 7.0


def ridge(features, target, query, strength):
    """Ridge regression on standardised features with a free intercept, from its normal equations."""
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scaled = (features - mean) / deviation
    weights = np.linalg.solve(
        scaled.T @ scaled + strength * np.eye(scaled.shape[1]), scaled.T @ (target - target.mean())
    )
    return target.mean() + (query - mean) / deviation @ weights


def test_linear_probe_is_a_ridge_regression_whose_strength_is_chosen_without_the_row_in_question(rows):
    features, targets, queries = rows
    found = linear_probe(features, targets, queries).numpy()
    x, q = features.double().numpy(), queries.double().numpy()
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    for column in range(2):
        y = targets[:, column].double().numpy()
        errors = {}
        for strength in np.logspace(-2, 4, 13):
            left_out = []
            for row in range(len(x)):
                others = [other for other in range(len(x)) if other != row]
                centre = scaled[others].mean(axis=0)
                centred = scaled[others] - centre
                weights = np.linalg.solve(
                    centred.T @ centred + strength * np.eye(5), centred.T @ (y[others] - y[others].mean())
                )
                left_out.append(y[row] - y[others].mean() - (scaled[row] - centre) @ weights)
            errors[strength] = np.square(left_out).mean()
        best = min(errors, key=errors.__getitem__)
        assert np.allclose(found[:, column], [ridge(x, y, query, best) for query in q], atol=1e-5)


def test_unknown_targets_do_not_count(rows):
    features, targets, queries = rows
    some = targets.clone()
    some[::2, 1] = math.nan
    found = linear_probe(features, some, queries)
    assert torch.allclose(found[:, :1], linear_probe(features, targets[:, :1], queries), atol=1e-5)
    assert torch.allclose(found[:, 1:], linear_probe(features[1::2], targets[1::2, 1:], queries), atol=1e-5)
    assert found.isfinite().all()
    assert linear_probe(features, torch.full((14, 1), math.nan), queries).isnan().all()
