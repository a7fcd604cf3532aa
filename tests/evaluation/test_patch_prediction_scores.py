from __future__ import annotations

import pytest
import torch
from planewise.evaluation import PatchPredictionScores, ScoredBatch
from planewise.geometry import predicted_patches
from planewise.pretexts import OverlappingPatchesd


@pytest.mark.parametrize("axes", [2, 3])
def test_scores_and_picture(axes):
    """Two images: in one, every patch is found; in the other, all scores are equal."""
    torch.manual_seed(0)
    made = OverlappingPatchesd(3, 0.5, 2, 3, axes)({"image": torch.rand(2, 1, *[8] * axes)})
    right = predicted_patches(3, axes, 2)
    scores = torch.zeros(2, len(right.patch), 3**axes)
    scores[0].scatter_(1, right.patch[:, None], 1.0)
    # in one of the shown rows, the network chooses patch 0 instead of the right patch
    middle = 1 if axes == 2 else 4
    wrong = int(((right.context == middle) & (right.ahead == 2)).nonzero())
    scores[0, wrong, 0] = 2.0
    given = ScoredBatch(made["image"], made, scores, torch.tensor([True, False]))
    collector = PatchPredictionScores(3, 0.5)
    results = collector.results(collector.take(given), [{"exam": "a"}, {"exam": "b"}], "a phantom")
    found, queries = results.metrics["prediction"], len(right.patch)
    # patch 0 counts only if it is a candidate
    lost = 1 if 0 in made["candidates"][0, wrong].tolist() else 0
    assert found["accuracy"] == pytest.approx(((queries - lost) / queries + 1 / 4) / 2)
    assert found["accuracy_of_all"] == pytest.approx(((queries - 1) / queries + 1 / 3**axes) / 2)
    assert found["chance"] == 1 / 4 and found["predictions"] == 2 * queries
    assert results.columns["found"] == pytest.approx([(queries - lost) / queries, 1 / 4])
    figure = results.figures["predictions.png"]()
    assert [axes_.get_title() for axes_ in figure.axes] == ["1 row ahead: found", "2 rows ahead: another"]
    assert figure.get_suptitle() == f"a phantom  patches found: {found['accuracy']:.3f}, chance 0.25"
    assert f"{found['accuracy']:.3f}" != f"{found['accuracy_of_all']:.3f}"
    # the context's patches, the correct one, and the one chosen instead
    boxes = figure.axes[1].patches
    assert [box.get_width() for box in boxes] == [4, 4, 4] and boxes[-1].get_xy() == (-0.5, -0.5)
    assert boxes[0].get_xy() == (-0.5, 1.5) and boxes[1].get_xy() == (3.5, 1.5)
