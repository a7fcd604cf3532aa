"""Test scores of chosen classes and patches against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from planewise.evaluation import ChoiceScores, JigsawScores, PatchPredictionScores, RetrievalScores, ScoredBatch
from planewise.geometry import predicted_patches
from planewise.pretexts import JigsawTilesd, OverlappingPatchesd

ITEMS = [{"exam": f"e{number}"} for number in range(4)]


def results_of(collector, given):
    return collector.results(collector.take(given), ITEMS[: len(given.prediction)], "a phantom")


@pytest.mark.parametrize("sides", [(6, 6), (6, 6, 5)])
def test_classes(sides):
    true, predicted = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, 2])
    image = torch.rand(4, 2, *sides)
    given = ScoredBatch(image, {"place": true}, torch.eye(8)[predicted], torch.tensor([False, True, True, False]))
    results = results_of(ChoiceScores("place", "patch_location", "queries"), given)
    found = results.metrics["patch_location"]
    assert (found["accuracy"], found["chance"], found["queries"], found["places"]) == (0.75, 1 / 8, 4, 8)
    assert found["accuracy_by_place"][:3] == [1, 1, 0.5]
    assert results.columns == {"place": true.tolist(), "predicted_place": predicted.tolist()}


def test_puzzles():
    torch.manual_seed(0)
    pretext = JigsawTilesd(num_permutations=12)
    batch = pretext({"image": torch.rand(4, 1, 36, 36)})
    number = batch["permutation"].clone()
    number[0] = (number[0] + 1) % 12
    results = results_of(
        JigsawScores(pretext), ScoredBatch(batch["image"], batch, torch.eye(12)[number], torch.zeros(4) > 0)
    )
    found = results.metrics["jigsaw"]
    assert (found["accuracy"], found["chance"], found["puzzles"]) == (0.75, pytest.approx(1 / 12), 4)
    one, other = pretext.permutations[batch["permutation"][0]], pretext.permutations[number[0]]
    assert results.columns["tiles_in_place"] == pytest.approx([float((one == other).float().mean()), 1, 1, 1])
    assert results.columns["predicted_permutation"] == number.tolist()


@pytest.mark.parametrize("axes", [2, 3])
def test_predicted_patches(axes):
    """In one image, every patch but one is found; in the other, all scores are equal."""
    torch.manual_seed(0)
    made = OverlappingPatchesd(3, 0.5, 2, 3, axes)({"image": torch.rand(2, 1, *[8] * axes)})
    right = predicted_patches(3, axes, 2)
    scores = torch.zeros(2, len(right.patch), 3**axes)
    scores[0].scatter_(1, right.patch[:, None], 1.0)
    wrong = int(((right.context == 1) & (right.ahead == 2)).nonzero())
    scores[0, wrong, 0] = 2.0
    results = results_of(PatchPredictionScores(), ScoredBatch(made["image"], made, scores, torch.zeros(2) > 0))
    found, queries = results.metrics["prediction"], len(right.patch)
    # patch 0 counts only if it is a candidate
    lost = 1 if 0 in made["candidates"][0, wrong].tolist() else 0
    assert found["accuracy"] == pytest.approx(((queries - lost) / queries + 1 / 4) / 2)
    assert found["accuracy_of_all"] == pytest.approx(((queries - 1) / queries + 1 / 3**axes) / 2)
    assert found["chance"] == 1 / 4 and found["predictions"] == 2 * queries
    assert results.columns["found"] == pytest.approx([(queries - lost) / queries, 1 / 4])


@pytest.mark.parametrize(("most", "count", "chance"), [(256, 18, 5 / 18), (4, 4, 1)])
def test_retrieval(most, count, chance):
    views = torch.stack([torch.eye(18)] * 2, dim=1)
    collector = RetrievalScores(candidates=most)
    scores = results_of(collector, ScoredBatch(torch.zeros(18, 2, 4, 4), {}, views, torch.zeros(18) > 0)).metrics
    scores = scores["retrieval"]
    assert (scores["top1"], scores["top5"], scores["candidates"], scores["dimensions"]) == (1, 1, count, 18)
    assert scores["chance1"] == 1 / count and scores["chance5"] == chance
    assert scores["effective_rank"] > count - 1.1
