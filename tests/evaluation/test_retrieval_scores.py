from __future__ import annotations

import numpy as np
import pytest
import torch
from planewise.evaluation import RetrievalScores, ScoredBatch
from planewise.evaluation.retrieval_scores import _caption
from torch import nn

from tests.evaluation.test_probe_scores import Slices, network_of_pixels, pixels_that_know


def results_of(views, dataset, **settings):
    collector = RetrievalScores(network_of_pixels(), dataset, **settings)
    batch = ScoredBatch(torch.zeros(len(views), 2, 4, 4), {}, views, torch.zeros(len(views)) > 0)
    return collector.results(collector.take(batch), dataset.items, "a phantom")


def test_scores_beside_their_chance():
    locations = [number % 6 / 5 for number in range(18)]
    dataset = Slices(pixels_that_know(locations), locations)
    directions = torch.eye(18)
    scores = results_of(torch.stack([directions, directions], dim=1), dataset).metrics["retrieval"]
    assert (scores["top1"], scores["top5"], scores["candidates"], scores["dimensions"]) == (1, 1, 18, 18)
    assert scores["chance1"] == 1 / 18 and scores["chance5"] == 5 / 18 and scores["effective_rank"] > 16.9
    few = results_of(torch.stack([directions, directions], dim=1), dataset, candidates=4).metrics["retrieval"]
    assert few["candidates"] == 4 and few["chance5"] == 1


@pytest.mark.parametrize("candidates", [256, 2])
def test_the_picture_shows_the_nearest_of_other_exams(candidates):
    """It searches more slices than the score does, because one view of each is enough."""
    locations = [number % 6 / 5 for number in range(18)]
    dataset = Slices(pixels_that_know(locations), locations)
    found = results_of(torch.randn(18, 2, 4), dataset, candidates=candidates, shown=2, neighbours=2)
    figure = found.figures["neighbours.png"]()
    assert len(figure.axes) == 6
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "exam0, location 0.00" and titles[3] == "exam2, location 1.00"
    # the neighbours are slices at the same location in the other exams
    assert {title[:5] for title in titles[1:3]} == {"exam1", "exam2"}
    assert all(title.endswith("location 0.00") for title in titles[1:3])
    shown = np.asarray(figure.axes[0].get_images()[0].get_array())
    assert np.array_equal(shown, dataset.pixels[0, 0].numpy().T)


def test_two_exams_of_one_patient_are_no_neighbours():
    locations = [number % 6 / 5 for number in range(18)]
    dataset = Slices(pixels_that_know(locations), locations)
    for item in dataset.items:
        item["patient"] = "p" if item["exam"] in ("exam0", "exam1") else "q"
    figure = results_of(torch.randn(18, 2, 4), dataset, shown=2, neighbours=2).figures["neighbours.png"]()
    titles = [axes.get_title()[:5] for axes in figure.axes]
    assert titles[:3] == ["exam0", "exam2", "exam2"]


def test_one_exam_alone_has_no_picture():
    dataset = Slices(np.zeros((6, 1, 2, 2)), [None] * 6)
    assert isinstance(network_of_pixels(), nn.Module)
    assert not results_of(torch.randn(6, 2, 4), dataset).figures


def test_a_picture_of_volumes_names_no_slice():
    assert _caption({"exam": "0123456789"}) == "012345"
    assert _caption({"exam": "0123456789", "slice": 4}) == "012345, slice 4"
    assert _caption({"exam": "0123456789", "slice": 4, "location": 0.5}) == "012345, location 0.50"
