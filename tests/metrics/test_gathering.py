"""Test that two processes with unequal numbers of samples compute the validation scores of all samples together."""

from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine
from ignite.metrics import Loss, Metric
from monai.handlers import MeanDice
from planewise.geometry import intersection_lines, line_heatmaps
from planewise.metrics import EpochScore, LineErrors, LocationErrors, mean_auc
from torch.nn.functional import cross_entropy

from tests.processes import in_processes

COUNT = 7


def samples() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    affine = torch.diag(torch.tensor([2.0, 2, 8, 1], dtype=torch.float64)).repeat(COUNT, 1, 1)
    angles = torch.rand(2, COUNT, generator=generator, dtype=torch.float64) * math.pi
    normals = torch.stack([angles.cos(), angles.sin(), torch.zeros_like(angles)], dim=-1)
    centre = torch.tensor([31.0, 31, 0], dtype=torch.float64)
    true, predicted = (intersection_lines(affine, centre, normal)[:, None] for normal in normals)
    true[3] = torch.nan
    location = torch.rand(COUNT, generator=generator)
    heatmaps = line_heatmaps(predicted, (32, 32), 3)
    guess = location + torch.rand(COUNT, generator=generator) / 5
    location[5] = torch.nan
    labels = torch.tensor([[0, 1], [1, 0], [1, torch.nan], [0, 0], [1, 1], [0, 1], [1, 0]], dtype=torch.float32)
    return {
        "prediction": torch.cat([heatmaps.float(), guess[:, None, None, None].expand(-1, 1, 32, 32)], dim=1),
        "lines": true,
        "affine": affine,
        "location": location,
        "logits": torch.randn(COUNT, 2, generator=generator),
        "labels": labels,
        "classes": torch.randn(COUNT, 3, 8, 8, generator=generator),
        "mask": torch.randint(0, 3, (COUNT, 1, 8, 8), generator=generator),
    }


def scores(rows: list[int], batch_size: int) -> dict[str, float]:
    """Every metric that validation uses, computed from these samples."""
    held = samples()
    pretext = lambda batch: (batch["prediction"], batch)  # noqa: E731
    metrics: dict[str, Metric] = {
        "lines": LineErrors(["2ch"], pretext),
        "location": LocationErrors(pretext),
        "auc": EpochScore(mean_auc, lambda batch: (batch["logits"], batch["labels"])),
        "auc_of_one": EpochScore(mean_auc, lambda batch: (batch["logits"][:, :1], batch["labels"][:, :1])),
        "dice": MeanDice(
            include_background=False,
            num_classes=3,
            output_transform=lambda batch: (batch["classes"].argmax(1, keepdim=True), batch["mask"]),
        ),
        "loss": Loss(cross_entropy, lambda batch: (batch["classes"], batch["mask"][:, 0])),
    }
    evaluator = Engine(lambda engine, rows: {name: value[rows] for name, value in held.items()})
    for name, metric in metrics.items():
        metric.attach(evaluator, name)
    evaluator.run([rows[start : start + batch_size] for start in range(0, len(rows), batch_size)])
    return {name: float(value) for name, value in evaluator.state.metrics.items() if not isinstance(value, dict)}


def share(rank: int) -> dict[str, float]:
    return scores(list(range(rank, COUNT, 2)), 2)


def test_every_process_has_the_scores_of_all_samples_each_counted_once():
    one, other = in_processes(share)
    assert one == other, "or the processes would disagree on which epoch was best"
    alone = scores(list(range(COUNT)), 4)
    assert {"2ch_angle", "2ch_distance", "location_r", "auc", "dice", "loss"} <= set(alone)
    assert one == pytest.approx(alone, rel=1e-5)
    assert scores([0, 2, 4, 6], 2) != pytest.approx(alone, rel=1e-2)
