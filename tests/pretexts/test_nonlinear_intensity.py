"""Test intensity curves of each image against NumPy's interpolation."""

from __future__ import annotations

import numpy as np
import torch
from planewise.pretexts.nonlinear_intensity import nonlinear_intensity


def one_by_one(image, control, inverted):
    mapped = []
    for values, ((ax, ay), (bx, by)), falls in zip(image, control, inverted, strict=True):
        xs, ys = [], []
        for t in np.linspace(0, 1, 1000):
            xs.append(3 * (1 - t) ** 2 * t * ax + 3 * (1 - t) * t**2 * bx + t**3)
            ys.append(3 * (1 - t) ** 2 * t * ay + 3 * (1 - t) * t**2 * by + t**3)
        curve = np.interp(values, xs, ys)
        mapped.append(1 - curve if falls else curve)
    return np.stack(mapped)


def test_each_image_goes_through_its_own_curve():
    torch.manual_seed(0)
    image, control = torch.rand(6, 1, 9, 7, dtype=torch.float64), torch.rand(6, 2, 2, dtype=torch.float64)
    inverted = torch.tensor([True, False] * 3)
    expected = one_by_one(image.numpy(), control.tolist(), inverted.tolist())
    np.testing.assert_allclose(nonlinear_intensity(image, control, inverted).numpy(), expected, atol=1e-9)


def test_curves_rise_or_fall_from_end_to_end():
    torch.manual_seed(0)
    ramp = torch.linspace(0, 1, 200, dtype=torch.float64).expand(50, 200)
    control = torch.rand(50, 2, 2, dtype=torch.float64)
    up = nonlinear_intensity(ramp, control, torch.zeros(50, dtype=torch.bool))
    down = nonlinear_intensity(ramp, control, torch.ones(50, dtype=torch.bool))
    assert (up.diff() >= -1e-12).all()
    torch.testing.assert_close(up[:, [0, -1]], torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(50, 2))
    torch.testing.assert_close(down, 1 - up)


def test_control_points_on_the_diagonal_change_nothing():
    ramp = torch.linspace(0, 1, 77, dtype=torch.float64)[None]
    third = torch.tensor([[[1 / 3, 1 / 3], [2 / 3, 2 / 3]]], dtype=torch.float64)
    torch.testing.assert_close(nonlinear_intensity(ramp, third, torch.tensor([False])), ramp)


def test_a_steep_curve_has_no_gap():
    # both control points are at x = 0, so many points of the curve have nearly the same x
    values = torch.rand(1, 500)
    mapped = nonlinear_intensity(values, torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]), torch.tensor([False]))
    assert torch.isfinite(mapped).all() and (mapped >= values - 1e-6).all()
