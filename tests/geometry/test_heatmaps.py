from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planewise.geometry import fit_lines, line_errors, line_heatmaps
from planewise.geometry.lines import line_agreement

SHAPE = (56, 72)


def slow_heatmap(a: float, b: float, c: float, sigma: float) -> torch.Tensor:
    """Zhang 2024 Eq. (1), literally."""
    heatmap = torch.zeros(SHAPE, dtype=torch.float64)
    for x in range(SHAPE[0]):
        for y in range(SHAPE[1]):
            heatmap[x, y] = math.exp(-((a * x + b * y + c) ** 2) / (2 * sigma**2 * (a**2 + b**2)))
    return heatmap


def a_line(angle: float, distance: float) -> torch.Tensor:
    """A line with this angle and this distance from the image's centre, pixels."""
    centre = torch.tensor([(SHAPE[0] - 1) / 2, (SHAPE[1] - 1) / 2], dtype=torch.float64)
    normal = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    return torch.cat([normal, (-(normal @ centre) - distance)[None]])


@given(st.floats(0, math.pi), st.floats(-60, 60), st.floats(0.5, 12))
def test_against_the_equation(angle, distance, sigma):
    line = a_line(angle, distance)
    fast = line_heatmaps(line, SHAPE, sigma)
    assert fast.dtype == torch.float32
    assert torch.allclose(fast.double(), slow_heatmap(*line.tolist(), sigma), atol=1e-5)


@given(st.floats(0, math.pi), st.floats(-18, 18), st.floats(2, 6))
def test_the_line_comes_back_from_its_heatmap(angle, distance, sigma):
    line = a_line(angle, distance)
    found, peak = fit_lines(line_heatmaps(line, SHAPE, sigma))
    turn, shift = line_errors(found, line, torch.eye(4, dtype=torch.float64), SHAPE)
    assert math.degrees(float(turn)) < 0.5
    assert float(shift) < 0.2
    assert float(peak) > 0.95


def test_a_stray_blob_does_not_turn_the_line():
    line = a_line(0.7, 2)
    heatmap = line_heatmaps(line, SHAPE, 3)
    heatmap[2:7, 60:66] = 0.8
    turn, _ = line_errors(fit_lines(heatmap)[0], line, torch.eye(4, dtype=torch.float64), SHAPE)
    assert math.degrees(float(turn)) < 2


def test_an_empty_heatmap_has_no_line():
    lines, peaks = fit_lines(torch.zeros(2, *SHAPE))
    assert torch.isnan(lines).all() and peaks.tolist() == [0, 0]


def test_agreement_is_one_for_the_line_itself_and_low_for_haze():
    line = a_line(0.4, 5)
    heatmap = line_heatmaps(line, SHAPE, 4)
    assert float(line_agreement(heatmap, line, 4)) == pytest.approx(1, abs=1e-6)
    assert float(line_agreement(torch.full(SHAPE, 0.5), line, 4)) < 0.6
    assert float(line_agreement(heatmap, torch.full((3,), torch.nan), 4)) == 0
