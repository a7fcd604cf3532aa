from __future__ import annotations

import numpy as np
import pytest
import torch
from planewise.evaluation import PatchLocationScores, ScoredBatch
from planewise.pretexts import RelativePatchesd
from planewise.reports.image_pretext_figures import cell_name

ITEMS = [{"exam": f"e{number}"} for number in range(3)]


def batch(spatial_dims: int, places: int) -> ScoredBatch:
    """Three images of which the first is predicted correctly; the last two are examples."""
    torch.manual_seed(0)
    place = torch.tensor([0, 1, places - 1])
    logits = torch.nn.functional.one_hot(torch.tensor([0, 1, 0]), places).float()
    side = [12] * spatial_dims
    target = {"place": place, "original": torch.rand(3, 2, *side)}
    return ScoredBatch(torch.rand(3, 4, *[3] * spatial_dims), target, logits, torch.tensor([False, True, True]))


@pytest.mark.parametrize(("spatial_dims", "places", "rows", "second"), [(3, 26, 5, "i-1 j-1"), (2, 8, 3, "i-1")])
def test_scores_and_picture(spatial_dims, places, rows, second):
    given, collector = batch(spatial_dims, places), PatchLocationScores(RelativePatchesd())
    results = collector.results(collector.take(given), ITEMS, "a phantom")
    found = results.metrics["patch_location"]
    assert found["accuracy"] == pytest.approx(2 / 3) and found["chance"] == 1 / places
    assert results.columns == {"place": [0, 1, places - 1], "predicted_place": [0, 1, 0]}
    figure = results.figures["patches.png"]()
    assert figure.get_suptitle() == f"a phantom  location accuracy: 0.667, chance {1 / places:.3g}"
    grid = np.array(figure.axes).reshape(rows, 2)
    first, last = (" ".join(f"{axis}{step}1" for axis in "ijk"[:spatial_dims]) for step in "-+")
    assert [axes.get_title() for axes in grid[0]] == [
        f"e1: {second}\npredicted {second}",
        f"e2: {last}\npredicted {first}",
    ]

    def shown(axes) -> np.ndarray:
        return np.asarray(axes.images[0].get_array()).T

    image, original = given.image[1:], given.target["original"][1:, 0]
    for column in range(2):
        for row, channel in ((0, 0), (1, 2)):
            patch = image[column, channel]
            assert np.allclose(shown(grid[row, column]), patch[..., 1] if spatial_dims == 3 else patch)
        for layer, axes in enumerate(grid[2:, column]):
            wanted = original[column, ..., 2 + 4 * layer] if spatial_dims == 3 else original[column]
            assert np.allclose(shown(axes), wanted)
    # position, size and colour of each frame
    frames = {
        (layer, frame.get_xy(), frame.get_width(), frame.get_edgecolor()[:3])
        for layer, axes in enumerate(grid[2:, 1])
        for frame in axes.patches
    }
    middle, upper = (1, 2) if spatial_dims == 3 else (0, 0)
    white, green, red = (1, 1, 1), (44 / 255, 160 / 255, 44 / 255), (214 / 255, 39 / 255, 40 / 255)
    assert frames == {(middle, (3.5, 3.5), 4, white), (upper, (7.5, 7.5), 4, green), (0, (-0.5, -0.5), 4, red)}
    assert sum(len(axes.patches) for axes in grid[2:, 0]) == 2, "a right answer has no red frame"


def test_names_of_cells():
    assert [cell_name(cell, 3, 3) for cell in (0, 13, 14, 26)] == ["i-1 j-1 k-1", "middle", "k+1", "i+1 j+1 k+1"]
    assert [cell_name(cell, 5, 2) for cell in (2, 24)] == ["i-2", "i+2 j+2"]


def test_without_examples_there_is_no_picture():
    given = batch(2, 8)
    given = ScoredBatch(given.image, given.target, given.prediction, torch.zeros(3, dtype=torch.bool))
    collector = PatchLocationScores(RelativePatchesd())
    assert collector.results(collector.take(given), ITEMS, "").figures == {}
