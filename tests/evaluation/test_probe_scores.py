from __future__ import annotations

import math

import numpy as np
import torch
from planewise.evaluation import ProbeScores
from torch import nn


class Slices:
    """Slices of ``pixels`` ``(N, 1, 2, 2)``, six for each exam, with the given locations."""

    def __init__(self, pixels, locations, exams=None):
        self.pixels = torch.as_tensor(pixels, dtype=torch.float32)
        exams = exams or [f"exam{number // 6}" for number in range(len(locations))]
        self.items = [
            {"exam": exam, "stack": "s", "slice": number % 6, "phase": 0.0}
            | ({} if location is None else {"location": location})
            for number, (exam, location) in enumerate(zip(exams, locations, strict=True))
        ]

    def __getitems__(self, rows):
        return {"image": self.pixels[list(rows)]}


def network_of_pixels():
    """A network whose features are the image's pixels."""
    network = nn.Module()
    network.anchor = nn.Linear(1, 1)
    network.encoder = lambda image: [image, image.flatten(1)[:, :, None, None]]
    return network.train()


def probe(dataset, **settings):
    return ProbeScores(network_of_pixels(), dataset, **settings).results({}, [], "a phantom")


def pixels_that_know(locations):
    """Two pixels of noise, one pixel that grows with the location and one with its square, so that each location has its own
    angle.
    """
    pixels = np.random.default_rng(0).normal(size=(len(locations), 1, 2, 2))
    from_middle = np.asarray(locations) - 0.5
    pixels[:, 0, 1, 0] = 80 * from_middle + 7
    pixels[:, 0, 0, 0] = 160 * from_middle**2
    return pixels


def test_a_network_without_an_encoder_is_not_probed(caplog):
    """BasicUNet in tools/docs/experiments.md is such a network; its other scores are unaffected."""
    locations = [number % 6 / 5 for number in range(12)]
    scorer = ProbeScores(nn.Linear(1, 1), Slices(pixels_that_know(locations), locations))
    (metrics,) = scorer.results({}, [], "").metrics.values()
    assert metrics["slices"] == 12 and math.isnan(metrics["location"]["mae"]) and "no encoder" in caplog.text


def test_features_that_know_the_location_tell_it_of_exams_that_the_probe_has_not_seen():
    locations = [number % 6 / 5 for number in range(60)]
    results = probe(Slices(pixels_that_know(locations), locations))
    scores = results.metrics["probe"]
    assert (scores["slices"], scores["exams"], scores["features"]) == (60, 10, 4)
    assert scores["location"]["pearson_r"] > 0.999 and scores["location"]["mae"] < 0.01


def test_noise_tells_nothing_though_a_ridge_could_learn_it_by_heart():
    """Each exam has its own colour, which reveals the locations of its slices within the exam, but not in other exams."""
    draw = np.random.default_rng(1)
    exams = [f"exam{number // 6}" for number in range(60)]
    shift = np.repeat(draw.normal(size=10), 6)
    pixels = np.zeros((60, 1, 2, 2))
    pixels[:, 0, 0, 0] = shift
    pixels[:, 0, 1, 1] = draw.normal(size=60)
    locations = np.clip(0.5 + 0.2 * np.repeat(draw.permutation(10) - 4.5, 6) / 2, 0, 1).tolist()
    results = probe(Slices(pixels, locations, exams))
    scores = results.metrics["probe"]
    assert scores["location"]["r2"] < 0.2 and scores["location"]["mae"] > 0.1


def test_two_exams_of_a_patient_do_not_tell_of_each_other():
    locations = [number % 6 / 5 for number in range(24)]
    dataset = Slices(pixels_that_know(locations), locations)
    for item in dataset.items:
        item["patient"] = "anna" if item["exam"] in ("exam0", "exam1") else "berta"
    assert probe(dataset).metrics["probe"]["exams"] == 4
    for item in dataset.items:
        item["patient"] = "anna"
    assert math.isnan(probe(dataset).metrics["probe"]["location"]["mae"])
