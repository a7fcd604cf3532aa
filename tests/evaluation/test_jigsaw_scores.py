from __future__ import annotations

import numpy as np
import pytest
import torch
from planewise.evaluation import JigsawScores, ScoredBatch
from planewise.pretexts import JigsawTilesd
from planewise.reports.image_pretext_figures import mosaic

ITEMS = [{"exam": f"e{number}"} for number in range(4)]


@pytest.fixture
def pretext() -> JigsawTilesd:
    return JigsawTilesd(num_permutations=12)


def scored(pretext: JigsawTilesd, wrong: int = 0):
    """A batch of four puzzles, of which the first ``wrong`` are predicted wrongly, and the last two are examples."""
    torch.manual_seed(0)
    # bright in one corner, so that the picture shows whether the tiles are in order
    image = torch.linspace(0, 1, 36)[:, None] * torch.linspace(0, 2, 36) + 0.01 * torch.randn(4, 1, 36, 36)
    batch = pretext({"image": image})
    number = batch["permutation"].clone()
    number[:wrong] = (number[:wrong] + 1) % 12
    logits = torch.nn.functional.one_hot(number, 12).float()
    target = {"permutation": batch["permutation"], "original": batch["original"]}
    return batch, ScoredBatch(batch["image"], target, logits, torch.tensor([False, False, True, True]))


def test_scores_of_puzzles(pretext):
    batch, given = scored(pretext, wrong=1)
    collector = JigsawScores(pretext)
    results = collector.results(collector.take(given), ITEMS, "a phantom")
    found = results.metrics["jigsaw"]
    assert (found["accuracy"], found["chance"], found["puzzles"]) == (0.75, pytest.approx(1 / 12), 4)
    number = batch["permutation"].tolist()
    assert results.columns["permutation"] == number
    assert results.columns["predicted_permutation"] == [(number[0] + 1) % 12, *number[1:]]
    one, other = pretext.permutations[number[0]], pretext.permutations[(number[0] + 1) % 12]
    assert results.columns["tiles_in_place"] == pytest.approx([float((one == other).float().mean()), 1, 1, 1])


def test_the_picture_puts_solved_puzzles_in_order_and_frames_what_is_wrong(pretext):
    collector = JigsawScores(pretext)
    for wrong, framed in ((0, 0), (4, 1)):
        batch, given = scored(pretext, wrong)
        figure = collector.results(collector.take(given), ITEMS, "").figures["puzzles.png"]()
        assert len(figure.axes) == 6
        shuffled, solved = (np.asarray(figure.axes[place].images[0].get_array()) for place in (2, 4))
        # figures show the axes transposed
        inverse = pretext.permutations[batch["permutation"][2]].argsort()
        in_order = mosaic(batch["image"][2][inverse].numpy(), 3).T
        assert np.array_equal(solved, in_order) == (wrong == 0)
        assert not np.array_equal(shuffled, in_order)
        assert bool(figure.axes[4].patches) == bool(framed)
        number = int(batch["permutation"][2])
        differ = pretext.permutations[number] != pretext.permutations[(number + 1) % 12]
        assert len(figure.axes[4].patches) == framed * int(differ.sum())
    assert "1 of" not in figure.axes[0].get_title()


def test_a_puzzles_caption_counts_its_own_tiles(pretext):
    """Only the last of four puzzles is solved; the last two are shown."""
    batch, given = scored(pretext, wrong=3)
    collector = JigsawScores(pretext)
    figure = collector.results(collector.take(given), ITEMS, "a phantom").figures["puzzles.png"]()
    number = int(batch["permutation"][2])
    right = int((pretext.permutations[number] == pretext.permutations[(number + 1) % 12]).sum())
    titles = [axes.get_title() for axes in figure.axes if "tiles" in axes.get_title()]
    assert titles == [f"e2: {right} of 9 tiles", "e3: 9 of 9 tiles"] and right < 9
    assert figure.get_suptitle() == "a phantom  permutation accuracy: 0.250, chance 0.0833"


def test_a_mosaic_of_numbered_tiles():
    tiles = np.arange(4)[:, None, None] * np.ones((4, 2, 3))
    image = mosaic(tiles, 2)
    assert image.shape == (5, 7)
    assert image[[0, 0, 4, 4], [0, 6, 0, 6]].tolist() == [0, 1, 2, 3] and image[2].tolist() == [0] * 7


def test_a_mosaic_of_a_volume_has_its_layers_below_each_other():
    tiles = np.arange(8)[:, None, None] * np.ones((8, 2, 3))
    image = mosaic(tiles, 2)
    # two columns of tiles, then a gap of three, then the second layer
    assert image.shape == (5, 2 * 7 + 3)
    assert image[[0, 0, 4, 4], [0, 4, 0, 4]].tolist() == [0, 2, 4, 6]
    assert image[[0, 0, 4, 4], [10, 14, 10, 14]].tolist() == [1, 3, 5, 7]
    assert not image[:, 7:10].any() and not image[2].any()


def test_volumes_are_shown_by_slices_across_their_third_axis():
    pretext = JigsawTilesd(num_permutations=5, spatial_dims=3, standardize=False, gap=0)
    ramp = torch.linspace(0, 1, 12)
    volume = (ramp[:, None, None] + 2 * ramp[:, None] + 4 * ramp)[None, None].repeat(2, 1, 1, 1, 1)
    batch = pretext({"image": volume})
    number = batch["permutation"].clone()
    number[1] = (number[1] + 1) % 5
    logits = torch.nn.functional.one_hot(number, 5).float()
    target = {"permutation": batch["permutation"], "original": volume}
    collector = JigsawScores(pretext)
    taken = collector.take(ScoredBatch(batch["image"], target, logits, torch.ones(2, dtype=torch.bool)))
    results = collector.results(taken, ITEMS[:2], "")
    assert results.metrics["jigsaw"]["accuracy"] == 0.5
    figure = results.figures["puzzles.png"]()
    grid = np.array(figure.axes).reshape(3, 2)
    original, solved = (np.asarray(axes.images[0].get_array()).T for axes in grid[[0, 2], 0])
    layers = [volume[0, 0, ..., middle].numpy() for middle in (2, 6, 10)]
    assert np.allclose(original, np.concatenate(layers, axis=1))
    # tiles have four voxels, of which the third is shown; the gap is one voxel, and three between layers
    for layer, middle in enumerate((2, 6, 10)):
        start = layer * (3 * 5 + 2)
        assert np.allclose(solved[:4, start : start + 4], volume[0, 0, :4, :4, middle])
        assert np.allclose(solved[10:, start + 10 : start + 14], volume[0, 0, 8:, 8:, middle])
    assert not grid[2, 0].patches
    first, second = (pretext.permutations[int(each)] for each in (batch["permutation"][1], number[1]))
    assert len(grid[2, 1].patches) == int((first != second).sum())
