from __future__ import annotations

import dataclasses

import numpy as np
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
    assert results.columns["hidden_error_mean"] == pytest.approx((left - mean).square().mean(dim=(1, 2)).tolist())
    assert set(results.columns) == {f"{name}_error{answer}" for name in ("hidden", "kept")
                                    for answer in ("", "_unchanged", "_mean")}  # fmt: skip


def test_the_mean_of_a_spoilt_image_is_that_of_the_wanted_one():
    target, given = scored()
    spoilt = dataclasses.replace(given, image=torch.where(target["hidden"], given.image, given.image + 5))
    results = [RestorationScores(spoilt=value) for value in (False, True)]
    of_shown, of_wanted = (each.results(each.take(spoilt), ITEMS, "").metrics["restoration"] for each in results)
    untouched = RestorationScores().results(RestorationScores().take(given), ITEMS, "").metrics["restoration"]
    assert of_wanted["hidden"]["mean"] == pytest.approx(untouched["hidden"]["mean"])
    assert of_shown["hidden"]["mean"] > 20 and of_wanted["kept"]["unchanged"] == pytest.approx(25)


@pytest.mark.parametrize("hidden_only", [False, True])
def test_the_picture_has_what_is_shown_restored_and_wanted(hidden_only):
    target, given = scored()
    collector = RestorationScores(hidden_only)
    results = collector.results(collector.take(given), ITEMS, "a phantom")
    figure, mean = results.figures["restored.png"](), results.metrics["restoration"]["hidden"]["mean"]
    assert len(figure.axes) == 6, "two examples"
    told = f"a phantom  error of hidden pixels: 4.000; if the mean of the visible pixels is predicted: {mean:.3f}"
    assert figure.get_suptitle() == told and mean < 0.3
    # axes are shown transposed
    rows = [np.asarray(figure.axes[place].images[0].get_array()).T for place in (1, 3, 5)]
    wanted = target["restored"][2, 0].numpy()
    assert np.array_equal(rows[0], given.image[2, 0].numpy()) and np.array_equal(rows[2], wanted)
    assert np.allclose(rows[1][:4], wanted[:4] + 2)
    assert np.allclose(rows[1][4:], wanted[4:] - (0 if hidden_only else 1))
    levels = {axes.images[0].get_clim() for axes in figure.axes[1::2]}
    assert levels == {tuple(np.percentile(wanted, (0.5, 99.5)))}, "the same grey levels in all three"


def test_an_image_of_which_nothing_is_hidden_says_so():
    target, given = scored()
    target["hidden"][2] = False
    collector = RestorationScores()
    figure = collector.results(collector.take(given), ITEMS, "").figures["restored.png"]()
    assert [axes.get_title() for axes in figure.axes[:2]] == ["exam: error 4.00", "exam: nothing hidden"]


def test_volumes_have_scores_and_no_picture():
    _, given = scored((8, 8, 3))
    collector = RestorationScores()
    results = collector.results(collector.take(given), ITEMS, "")
    assert results.metrics["restoration"]["hidden"]["restored"] == pytest.approx(4) and not results.figures
