"""Test the scores of planes rotated and shifted by known amounts, on exams with two scored phases and one unscored."""

from __future__ import annotations

import math

import pytest
import torch
from planewise.evaluation import OrientationScores, ScoredBatch
from planewise.geometry import intersection_lines, line_heatmaps

VIEWS = ("2ch", "4ch")
SHAPE, SPACING, GAP = (48, 48), 2.0, 8.0
CENTRE = torch.tensor([47.0, 47, GAP], dtype=torch.float64)
PHASES = (0.0, 0.45, 0.8)
#: How each view's prediction is displaced: rotation in the slices' plane (deg), tilt about the middle slice (deg), shift
#: (mm).
MADE = {
    ("aa", 0.0): {"2ch": (0, 0, 4), "4ch": (10, 0, 0)},
    ("aa", 0.45): {"2ch": (0, 0, -8), "4ch": (20, 0, 0)},
    ("aa", 0.8): {"2ch": (0, 0, 10), "4ch": (30, 0, 0)},
    ("bb", 0.0): {"2ch": (0, 0, 2), "4ch": (0, 6, 0)},
    ("bb", 0.45): {"2ch": (0, 0, 1), "4ch": (5, 0, 3)},
    ("bb", 0.8): {"2ch": (0, 0, 10), "4ch": (30, 0, 0)},
}
#: Values for the slices of a stack: their medians are 0.8 and 0.9, minus a part that depends on exam and phase.
PEAKS, AGREEMENTS = (0.8, 0.9, 0.4), (0.9, 0.5, 0.95)
LESS = {("aa", 0.0): 0.0, ("aa", 0.45): 0.1, ("aa", 0.8): 0.3, ("bb", 0.0): 0.2, ("bb", 0.45): 0.05, ("bb", 0.8): 0.3}
ITEMS = [
    {"exam": exam, "stack": "s1", "slice": slice_, "phase": phase}
    for exam in ("aa", "bb")
    for slice_ in range(3)
    for phase in PHASES
]


def plane(view: str, turn: float = 0, tilt: float = 0, shift: float = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Origin and normal of a view's plane; by default the true plane, through the centre."""
    turn, tilt = math.radians(turn), math.radians(tilt)
    across = {"2ch": (math.cos(turn), math.sin(turn)), "4ch": (-math.sin(turn), math.cos(turn))}[view]
    normal = torch.tensor([math.cos(tilt) * across[0], math.cos(tilt) * across[1], math.sin(tilt)], dtype=torch.float64)
    return CENTRE + shift * normal, normal


def affine_of(item: dict) -> torch.Tensor:
    affine = torch.diag(torch.tensor([SPACING, SPACING, GAP, 1], dtype=torch.float64))
    affine[2, 3] = GAP * item["slice"]
    return affine


def lines_of(item: dict, made: bool) -> torch.Tensor:
    changes = MADE[item["exam"], item["phase"]] if made else dict.fromkeys(VIEWS, ())
    return torch.stack([intersection_lines(affine_of(item), *plane(view, *changes[view])) for view in VIEWS])


def taken() -> dict[str, torch.Tensor]:
    """The values that `take` would give, with exact lines."""
    less = torch.tensor([LESS[item["exam"], item["phase"]] for item in ITEMS], dtype=torch.float64)[:, None]
    each = lambda values: torch.tensor([values[item["slice"]] for item in ITEMS], dtype=torch.float64)[:, None]  # noqa: E731
    return {
        "lines": torch.stack([lines_of(item, True) for item in ITEMS]),
        "true_lines": torch.stack([lines_of(item, False) for item in ITEMS]),
        "affine": torch.stack([affine_of(item) for item in ITEMS]),
        "planes": torch.stack([torch.stack([torch.stack(plane(view)) for view in VIEWS])] * len(ITEMS)),
        "agreement": (each(AGREEMENTS) - less).expand(-1, 2),
        "peak": (each(PEAKS) - less).expand(-1, 2),
        "heatmap_mse": torch.tensor([[0.01, 0.03]] * (len(ITEMS) - 1) + [[torch.nan, 0.03]]),
        "example": torch.zeros(len(ITEMS), dtype=torch.bool),
        "image": torch.zeros(0, *SHAPE),
        "predicted": torch.zeros(0, 2, *SHAPE),
        "reference": torch.zeros(0, 2, *SHAPE),
    }


def results(changed=lambda rows: None, **settings):
    rows = taken()
    changed(rows)
    return OrientationScores(VIEWS, 3.0, **settings).results(rows, ITEMS, "")


def planes_by(table: dict) -> dict[tuple, dict]:
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return {(row["exam"], row["phase"], row["view"]): row for row in rows}


def test_planes_at_both_phases_are_those_that_were_made():
    table = results().tables["planes.csv"]
    rows = planes_by(table)
    assert len(rows) == 2 * 2 * 2 and set(table["stack"]) == {"s1"} and set(table["slices"]) == {3}
    for (exam, made), changes in MADE.items():
        if made == 0.8:
            continue
        for view, (turn, tilt, shift) in changes.items():
            row = rows[exam, {0.0: 0.0, 0.45: 0.4}[made], view]
            assert row["angle_deg"] == pytest.approx(turn or tilt, abs=1e-6)
            # the offset is measured where the true plane goes through the organ; the other view's rotation and shift do not
            # move this point
            assert row["offset_mm"] == pytest.approx(abs(shift), abs=1e-6)
            assert row["residual_mm"] == pytest.approx(0, abs=1e-6) and row["spread_deg"] == pytest.approx(0, abs=1e-6)
            # medians of the three slices
            assert row["peak"] == pytest.approx(0.8 - LESS[exam, made])
            assert row["agreement"] == pytest.approx(0.9 - LESS[exam, made])


def test_scores_of_planes_by_hand():
    views = results().metrics["orientation"]["views"]
    offsets, angles = views["2ch"]["plane_offset_mm"], views["4ch"]["plane_angle_deg"]
    # offsets of 1, 2, 4 and 8 mm; angles of 5, 6, 10 and 20 degrees
    assert offsets == pytest.approx({"mean": 3.75, "sd": math.sqrt(7.1875), "median": 3})
    assert angles == pytest.approx({"mean": 10.25, "sd": math.sqrt(140.25 - 10.25**2), "median": 8})
    assert views["2ch"]["plane_angle_deg"]["mean"] == pytest.approx(0, abs=1e-6)
    assert views["4ch"]["plane_offset_mm"] == pytest.approx(
        {"mean": 0.75, "sd": 1.5 * math.sqrt(0.75), "median": 0}, abs=1e-6
    )


def test_scores_of_lines_by_hand():
    """All slices at all phases count."""
    orientation = results().metrics["orientation"]
    distance = orientation["views"]["2ch"]["line_distance_mm"]
    # 4, 8, 10, 2, 1 and 10 mm, each on three slices
    assert distance == pytest.approx({"mean": 35 / 6, "sd": math.sqrt(285 / 6 - (35 / 6) ** 2), "median": 6})
    angle = orientation["views"]["4ch"]["line_angle_deg"]
    # 10, 20, 30, 0 (a tilt rotates no line), 5 and 30 degrees
    assert angle == pytest.approx({"mean": 95 / 6, "sd": math.sqrt(2325 / 6 - (95 / 6) ** 2), "median": 15}, abs=1e-6)
    assert orientation["heatmap_mse"] == pytest.approx((0.01 * 17 + 0.03 * 18) / 35), "the mean over all known heatmaps"


def batch(example, **more) -> ScoredBatch:
    rows = taken()
    truth = line_heatmaps(rows["true_lines"], SHAPE, 3.0)
    prediction = torch.cat(
        [0.9 * line_heatmaps(rows["lines"], SHAPE, 3.0), torch.full((len(ITEMS), 1, *SHAPE), 7.0)], dim=1
    )
    prediction[:, 1] = truth[:, 1] + 0.2
    target = {"heatmaps": truth, "lines": rows["true_lines"], "affine": rows["affine"], "planes": rows["planes"]} | more
    image = torch.arange(float(len(ITEMS)))[:, None, None, None].expand(-1, 1, *SHAPE)
    return ScoredBatch(image, target, prediction, torch.tensor([number in example for number in range(len(ITEMS))]))


def test_a_batch_is_read_by_channel():
    given = batch({2, 5})
    rows = OrientationScores(VIEWS, 3.0).take(given)
    assert rows["peak"][:, 0].tolist() == pytest.approx([0.9] * len(ITEMS), abs=0.015)
    assert rows["agreement"][:, 0].tolist() == pytest.approx([1] * len(ITEMS), abs=1e-3)
    assert rows["heatmap_mse"][:, 1].tolist() == pytest.approx([0.04] * len(ITEMS))
    columns = OrientationScores(VIEWS, 3.0).results(rows, ITEMS, "").columns
    for row, item in enumerate(ITEMS):
        _, _, shift = MADE[item["exam"], item["phase"]]["2ch"]
        assert columns["2ch_distance_mm"][row] == pytest.approx(abs(shift), abs=0.05)
    # maps of the examples only
    assert rows["image"][:, 0, 0].tolist() == [2, 5] and rows["predicted"].shape == (2, 2, *SHAPE)
    assert torch.equal(rows["reference"], given.target["heatmaps"][[2, 5]])
    assert torch.equal(rows["predicted"], given.prediction[[2, 5], :2].float())
