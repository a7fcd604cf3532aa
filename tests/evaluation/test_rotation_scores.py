from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from planewise.evaluation import RotationScores, ScoredBatch
from planewise.reports.image_pretext_figures import rotation_name

ITEMS = [{"exam": f"e{number}"} for number in range(3)]


def batch(spatial_dims: int, classes: int) -> ScoredBatch:
    """Three images of which the first is predicted wrongly, as the next rotation; the last two are examples."""
    torch.manual_seed(0)
    rotation = torch.tensor([0, 1, 2])
    logits = torch.nn.functional.one_hot(torch.tensor([1, 1, 2]), classes).float()
    image = torch.rand(3, 2, *[5] * spatial_dims)
    return ScoredBatch(image, {"rotation": rotation}, logits, torch.tensor([False, True, True]))


@pytest.mark.parametrize(("spatial_dims", "classes", "rows"), [(3, 10, 3), (2, 4, 1)])
def test_scores_and_picture(spatial_dims, classes, rows):
    given, collector = batch(spatial_dims, classes), RotationScores()
    results = collector.results(collector.take(given), ITEMS, "a phantom")
    found = results.metrics["rotation"]
    assert found["accuracy"] == pytest.approx(2 / 3) and found["chance"] == 1 / classes
    assert results.columns == {"rotation": [0, 1, 2], "predicted_rotation": [1, 1, 2]}
    figure = results.figures["rotations.png"]()
    assert len(figure.axes) == 2 * rows
    assert "e1" in figure.axes[0].get_title() and "90 deg" in figure.axes[0].get_title()
    shown = np.asarray(figure.axes[0].images[0].get_array()).T
    assert np.allclose(shown, given.image[1, 0, 2] if spatial_dims == 3 else given.image[1, 0])


def test_a_caption_has_the_turn_and_what_was_told():
    given, collector = batch(2, 4), RotationScores()
    given = dataclasses.replace(given, example=torch.tensor([True, True, False]))
    figure = collector.results(collector.take(given), ITEMS, "a phantom").figures["rotations.png"]()
    assert [axes.get_title() for axes in figure.axes] == [
        "e0: no rotation\npredicted 90 deg",
        "e1: 90 deg\npredicted 90 deg",
    ]
    assert figure.get_suptitle() == "a phantom  rotation accuracy: 0.667, chance 0.25"


def test_names_of_turns():
    assert [rotation_name(number, 3) for number in (0, 1, 5, 9)] == [
        "no rotation", "90 deg about i", "180 deg about j", "270 deg about k",
    ]  # fmt: skip
    assert [rotation_name(number, 2) for number in (0, 3)] == ["no rotation", "270 deg"]
