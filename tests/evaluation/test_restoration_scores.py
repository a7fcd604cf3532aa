from __future__ import annotations

import dataclasses

import pytest
import torch
from planewise.evaluation import RestorationScores, ScoredBatch

ITEMS = [{"exam": f"exam{number}"} for number in range(3)]


def scored(shape=(8, 8)) -> tuple[dict[str, torch.Tensor], ScoredBatch]:
    """Three images whose left half is hidden; the network is off by 2 there and by 1 elsewhere."""
    torch.manual_seed(0)
    wanted = torch.rand(3, 1, *shape)
    hidden = torch.zeros(3, 1, *shape, dtype=torch.bool)
    hidden[:, :, :4] = True
    image = wanted.masked_fill(hidden, 0.0)
    target = {"restored": wanted, "hidden": hidden}
    prediction = torch.where(hidden, wanted + 2, wanted - 1)
    return target, ScoredBatch(image, target, prediction, torch.tensor([True, False, True]))


def test_errors_of_the_network_beside_trivial_answers():
    target, given = scored()
    collector = RestorationScores()
    results = collector.results(collector.take(given), ITEMS, "a phantom")
    scores = results.metrics["restoration"]
    assert scores["images"] == 3
    assert scores["hidden"]["restored"] == pytest.approx(4) and scores["kept"]["restored"] == pytest.approx(1)
    left, right = target["restored"][:, 0, :4], target["restored"][:, 0, 4:]
    assert scores["hidden"]["unchanged"] == pytest.approx(float(left.square().mean())), "the hidden half is shown as 0"
    assert scores["kept"]["unchanged"] == 0
    mean = right.mean(dim=(1, 2), keepdim=True)
    assert scores["hidden"]["mean"] == pytest.approx(float((left - mean).square().mean()))
    assert results.columns["hidden_error"] == pytest.approx([4] * 3)
    assert set(results.columns) == {"hidden_error", "kept_error"}


def test_the_mean_of_a_spoilt_image_is_that_of_the_wanted_one():
    target, given = scored()
    spoilt = dataclasses.replace(given, image=torch.where(target["hidden"], given.image, given.image + 5))
    results = [RestorationScores(spoilt=value) for value in (False, True)]
    of_shown, of_wanted = (each.results(each.take(spoilt), ITEMS, "").metrics["restoration"] for each in results)
    untouched = RestorationScores().results(RestorationScores().take(given), ITEMS, "").metrics["restoration"]
    assert of_wanted["hidden"]["mean"] == pytest.approx(untouched["hidden"]["mean"])
    assert of_shown["hidden"]["mean"] > 20 and of_wanted["kept"]["unchanged"] == pytest.approx(25)
