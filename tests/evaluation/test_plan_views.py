"""Test the planes that follow from the heatmaps of a stack, and when no plane follows."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from planewise.evaluation import PlanViewsd
from planewise.geometry import PlannedPlane, intersection_lines, line_heatmaps, plane_errors

SHAPE, SLICES, SIGMA = (72, 64), 9, 3.0


@pytest.fixture
def stack():
    """An oblique stack of 2 x 2.5 mm pixels and 8 mm slices, and two planes that cross near its middle."""
    q, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = torch.from_numpy(q) * torch.tensor([2.0, 2.5, 8.0])
    affine[:3, 3] = torch.tensor([-30.0, 12.0, 55.0])
    axes = affine[:3, :3] / affine[:3, :3].norm(dim=0)
    middle = (affine @ torch.tensor([34.0, 30.0, 4.0, 1.0], dtype=torch.float64))[:3]
    local = torch.tensor([[0.9, 0.43, 0.05], [0.2, 0.97, -0.1]], dtype=torch.float64)
    normals = torch.nn.functional.normalize(local, dim=1) @ axes.T
    affines = affine.repeat(SLICES, 1, 1)
    affines[:, :3, 3] += torch.arange(SLICES)[:, None] * affine[:3, 2]
    lines = torch.stack([intersection_lines(affines, middle, normal) for normal in normals], dim=1)
    heatmaps = line_heatmaps(lines, SHAPE, SIGMA).permute(1, 2, 3, 0)
    image = MetaTensor(torch.rand(1, *SHAPE, SLICES), affine=affine, meta={"filename_or_obj": "ab12"})
    return image, heatmaps.to(torch.float32), affines, middle, normals


def plan(image, prediction, **limits):
    return PlanViewsd(["2ch", "4ch"], SIGMA, **limits)({"image": image, "pred": prediction})


def test_planes_of_exact_heatmaps_are_the_planes(stack):
    image, heatmaps, affines, middle, normals = stack
    item = plan(image, heatmaps)
    for channel, view in enumerate(("2ch", "4ch")):
        found = item["plan"]["views"][view]
        assert found["verdict"] == "plane" and not found["reasons"] and found["slices"] == SLICES
        angle, offset = plane_errors(
            torch.tensor(found["origin"], dtype=torch.float64),
            torch.tensor(found["normal"], dtype=torch.float64),
            middle,
            normals[channel],
            middle,
        )
        assert angle < 0.5 and offset < 0.3
        # the drawn line is where the heatmap is high, on every slice, and 3 mm wide
        drawn = item["pred"][0] == channel + 1
        assert float(heatmaps[channel][drawn].min()) > 0.85
        assert bool(drawn.any(dim=(0, 1)).all())
    assert torch.equal(item["pred"].affine, image.affine) and item["heatmaps"].shape == (2, *SHAPE, SLICES)
    json.dumps(item["plan"])


@pytest.mark.parametrize(
    ("what", "reason"),
    [("haze", "agreement"), ("silence", "peak"), ("turning", "spread"), ("wandering", "residual")],
)
def test_what_is_not_a_plane_is_refused_with_its_reason(stack, what, reason):
    image, heatmaps, affines, _, _ = stack
    prediction = heatmaps.clone()
    if what == "haze":
        prediction[0] = 0.7 * torch.rand(prediction[0].shape, generator=torch.Generator().manual_seed(0)) + 0.2
    elif what == "silence":
        prediction[0] *= 0.2
    else:
        lines = torch.zeros(SLICES, 3, dtype=torch.float64)
        for number in range(SLICES):
            angle = 1.2 * (number % 3) if what == "turning" else 0.0
            offset = 8.0 * (-1) ** number if what == "wandering" else 0.0
            lines[number] = torch.tensor([np.cos(angle), np.sin(angle), 0.0])
            lines[number, 2] = -(lines[number, :2] @ torch.tensor([35.0, 31.0], dtype=torch.float64)) + offset
        prediction[0] = line_heatmaps(lines, SHAPE, SIGMA).permute(1, 2, 0)
    item = plan(image, prediction)
    refused, other = (item["plan"]["views"][name] for name in ("2ch", "4ch"))
    assert refused["verdict"] == "no plane" and any(text.startswith(reason) for text in refused["reasons"])
    assert refused["origin"] is None and refused["normal"] is None, "numbers that are not a plane's"
    assert not (item["pred"] == 1).any()
    assert other["verdict"] == "plane" and (item["pred"] == 2).any()


def test_locations_that_do_not_run_along_the_stack_are_no_heart(stack):
    image, heatmaps, *_ = stack
    locations = torch.linspace(0.9, 0.1, SLICES).expand(1, *SHAPE, SLICES)
    good = plan(image, torch.cat([heatmaps, locations]), location=True)["plan"]
    assert good["order"] == -1 and [view["verdict"] for view in good["views"].values()] == ["plane", "plane"]
    shuffled = locations[..., [4, 0, 8, 2, 6, 1, 7, 3, 5]]
    item = plan(image, torch.cat([heatmaps, shuffled]), location=True)
    for view in item["plan"]["views"].values():
        assert view["verdict"] == "no plane" and view["reasons"][0].startswith("order of the locations 0.")
    assert not item["pred"].any()
    mirrored = plan(image, torch.cat([heatmaps, shuffled]), location=True, min_order=None)["plan"]
    assert {view["verdict"] for view in mirrored["views"].values()} == {"plane"}


@pytest.mark.parametrize(("turned", "refused"), [(0, True), (14, True), (16, False), (75, True), (74, False)])
def test_a_stack_along_the_body_is_no_short_axis(stack, turned, refused):
    """Slices rotated by these angles from the coronal towards the axial plane; exact heatmaps do not help."""
    image, heatmaps, *_ = stack
    locations = torch.linspace(0.9, 0.1, SLICES).expand(1, *SHAPE, SLICES)
    angle = np.radians(-turned)  # the normal points to the front and down, as in hearts
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, 0] = 2 * torch.tensor([-1.0, 0, 0])
    affine[:3, 1] = 2.5 * torch.tensor([0, np.sin(angle), -np.cos(angle)])
    affine[:3, 2] = 8 * torch.tensor([0, np.cos(angle), np.sin(angle)])
    lying = MetaTensor(image.as_tensor(), affine=affine, meta={"filename_or_obj": "ab12"})
    prediction = torch.cat([heatmaps, locations])
    item = plan(lying, prediction, location=True, min_obliquity=15.0)
    assert item["plan"]["obliquity_deg"] == pytest.approx(min(turned, 90 - turned))
    # the locations and heatmaps are still written
    assert item["plan"]["order"] == -1 and len(item["plan"]["locations"]) == SLICES
    assert torch.equal(item["heatmaps"].as_tensor(), heatmaps)
    for view in item["plan"]["views"].values():
        assert (view["verdict"], view["origin"] is None) == (("no plane", True) if refused else ("plane", False))
        if refused:
            assert len(view["reasons"]) == 1
    assert item["pred"].any() != refused
    # a knee's stack lies along the body's axes, so there is no limit unless one is given
    for limit in ({}, {"min_obliquity": 0.0}):
        views = plan(lying, prediction, location=True, **limit)["plan"]["views"]
        assert {view["verdict"] for view in views.values()} == {"plane"}


def test_numbers_that_are_not_known_are_none(stack):
    """A server cannot send NaN; if the network finds nothing, neither order nor spread is a number."""
    image, heatmaps, *_ = stack
    found = plan(image, torch.zeros(3, *SHAPE, SLICES), location=True)["plan"]
    assert "NaN" not in json.dumps(found, allow_nan=False)
    assert found["order"] is None and found["locations"] == [0] * SLICES
    for view in found["views"].values():
        assert view["verdict"] == "no plane" and view["spread_deg"] is None


def test_every_number_of_a_plan_is_the_planes_own(stack, monkeypatch):
    image, heatmaps, *_ = stack
    distances = torch.tensor([1.0, 12.1, 3, 11.9, 5, 20, 7, torch.nan, 0])
    made = [
        PlannedPlane(
            "2ch", torch.tensor([1.0, 2, 3]), torch.tensor([0.6, 0, 0.8]), 5.5, 7.5, 0.75, 0.65, 8, distances, 2.0, 0.5
        ),
        PlannedPlane(
            "4ch", torch.tensor([4.0, 5, 6]), torch.tensor([0, 1.0, 0]), 12.5, 13.5, 0.55, 0.45, 7, distances, 2.0, 0.5
        ),
    ]
    bounds = {view: {"angle_deg": [3.0, 2.0], "offset_mm": [1.2, 1.0]} for view in ("2ch", "4ch")}
    monkeypatch.setattr("planewise.evaluation.plan_views.plan_planes", lambda *given: made)
    locations = torch.tensor([0.1, 0.0, 0.3, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8]).expand(1, *SHAPE, SLICES)
    found = plan(image, torch.cat([heatmaps, locations]), location=True, min_peak=0.6, max_residual=11,
                 plane_bounds=bounds | {"measured_on": "30 exams"})["plan"]  # fmt: skip
    assert found["bounds_measured_on"] == "30 exams"
    assert found["views"]["2ch"] == {
        "verdict": "plane", "reasons": [], "origin": [1, 2, 3], "normal": pytest.approx([0.6, 0, 0.8]), "peak": 0.65,
        "agreement": 0.75, "residual_mm": 5.5, "spread_deg": 7.5, "slices": 8, "slices_that_disagree": [2, 6],
        "slices_without_a_line": [8], "angle_sd_deg": 2, "offset_sd_mm": 0.5, "within_deg": 5, "within_mm": 1.3,
    }  # fmt: skip
    refused = found["views"]["4ch"]
    names = ("peak", "agreement", "residual", "spread")
    assert [reason.partition(" ")[0] for reason in refused["reasons"]] == [*names]
    numbers = [refused[name] for name in ("peak", "agreement", "residual_mm", "spread_deg", "slices")]
    assert numbers == [0.45, 0.55, 12.5, 13.5, 7] and refused["origin"] is None
    assert {refused[name] for name in ("slices_that_disagree", "angle_sd_deg", "within_deg", "within_mm")} == {None}
    # two pairs of neighbours swapped: 1 - 6 * 4 / (9 * 80)
    assert found["order"] == pytest.approx(1 - 24 / 720, abs=5e-4) and found["slices"] == SLICES
    assert found["locations"] == pytest.approx([0.1, 0.0, 0.3, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8])
