from __future__ import annotations

import math

import numpy as np
import pydicom
import pytest
import torch
from planewise.metrics import line_profiles, profile_correlation
from planewise.preprocessing import LoadSliced


def volume_slice(affine: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """A slice through a smooth function of patient space."""
    i, j = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    points = torch.stack([i, j, torch.zeros_like(i), torch.ones_like(i)], dim=-1).double() @ affine.T
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return torch.sin(x / 11) + torch.cos(y / 7) * torch.sin(z / 9)


def test_profiles_of_one_body_are_equal():
    flat = torch.diag(torch.tensor([1.2, 1.2, 8, 1], dtype=torch.float64))
    upright = torch.tensor([[0.6, 0, 0.8, 20], [0.8, 0, -0.6, 10], [0, 1, 0, -30], [0, 0, 0, 1]], dtype=torch.float64)
    first, second = line_profiles(volume_slice(flat, (90, 90)), flat, volume_slice(upright, (120, 60)), upright)
    assert len(first) > 50
    assert np.abs(first - second).max() < 0.02


def test_between_pixels_a_profile_is_a_straight_line():
    first = torch.eye(4, dtype=torch.float64)
    second = torch.tensor([[0.7, 0, 0, 0.3], [0, 0, 1, 20], [0, 1, 0, -5], [0, 0, 0, 1]], dtype=torch.float64)
    rough = np.random.default_rng(0).normal(size=60)
    # the second image's values are its rows, so they say where on the line the first was sampled
    rows = torch.arange(60.0)[:, None].expand(-1, 11)
    profile, row = line_profiles(torch.from_numpy(rough)[:, None].expand(-1, 60), first, rows, second)
    assert len(profile) > 20 and np.allclose(profile, np.interp(0.3 + 0.7 * row, np.arange(60), rough), atol=1e-6)


def test_slices_that_do_not_cross_have_no_profile():
    flat = torch.diag(torch.tensor([1.2, 1.2, 8, 1], dtype=torch.float64))
    above = flat.clone()
    above[2, 3] = 8
    assert math.isnan(profile_correlation(torch.rand(9, 9), flat, torch.rand(9, 9), above))


def crossing(size: int, slope: float = 1.0) -> float:
    """Correlation of two upright slices of 1 mm pixels that cut each other over ``size`` mm and whose grey levels rise along
    the line, in the second with this slope."""
    first = torch.eye(4, dtype=torch.float64)
    second = torch.tensor([[1, 0, 0, 0], [0, 0, 1, size // 2], [0, 1, 0, -5], [0, 0, 0, 1]], dtype=torch.float64)
    ramp = torch.arange(float(size))[:, None]
    return profile_correlation(ramp.expand(-1, size), first, slope * ramp.expand(-1, 11), second)


def test_correlation_is_pearsons_and_needs_30_millimetres():
    assert crossing(60) == pytest.approx(1)
    assert crossing(60, -2.0) == pytest.approx(-1)
    assert math.isnan(crossing(25)) and math.isnan(crossing(60, 0.0))


def test_real_slices_agree_where_they_cut_each_other_and_stop_when_shifted(real_data, record_property):
    """The geometry of real files, proved by their pixels: no model, no header but the file's own, through ITK."""
    folder = real_data / "cardiac_cine_exam" / "dicom"

    def load(series: str):
        first = min((folder / series).glob("*.dcm"), key=lambda file: float(pydicom.dcmread(file).TriggerTime))
        image = LoadSliced("image")({"image": first})["image"]
        return image.as_tensor()[0, ..., 0], image.affine

    stack = [load(series) for series in ("Se11", "Se1", "Se2", "Se3", "Se4", "Se5")]

    def agreement(pixels, affine) -> float:
        return float(np.nanmean([profile_correlation(*slice_, pixels, affine) for slice_ in stack]))

    for series in ("Se6", "Se7", "Se8", "Se9", "Se10"):
        pixels, affine = load(series)
        in_place = agreement(pixels, affine)
        shifted = []
        for axis in range(3):
            for step in (-10, 10):
                moved = affine.clone()
                moved[axis, 3] += step
                shifted.append(agreement(pixels, moved))
        record_property(series, f"{in_place:.2f} in place, {max(shifted):.2f} at best when shifted by 10 mm")
        assert in_place > 0.8
        assert max(shifted) < in_place - 0.04
        assert np.mean(shifted) < in_place - 0.15
