"""Test that the study of breath-holds compares its estimates with the phantoms' own shifts."""

import pytest
import torch
from planewise.metrics.breath_holds import breath_hold_errors
from planewise.phantoms import VOLUNTEERS, Recipe, true_planes, true_shifts

from tools.studies import breath_holds
from tools.studies.breath_holds import measure


def test_errors_before_are_the_phantoms_shifts(tmp_path):
    recipe = Recipe("ukbb", 7, VOLUNTEERS.at_size("demo").with_values(phases=1, breath=3.0, spacing=(3.5, 3.5)))
    undone, before, after, planes, refused = measure(recipe, tmp_path, exams=1)
    true = torch.stack([torch.from_numpy(shift) for shift in true_shifts(recipe.exam(1), dicom=False).values()])
    expected = breath_hold_errors(torch.zeros_like(true), true)
    assert undone == 1
    assert torch.allclose(before.sort().values, expected.sort().values)
    assert after.median() < 0.5 * before.median()
    assert len(planes) == 0 and refused == (0, 0), "none were asked for"


def test_planes_are_compared_with_what_anatomy_asks_for_where_the_slices_lie(monkeypatch):
    """All slices lie 4 mm above where the heart was. So does the first plane, which is 3 mm off besides; the second is turned
    by 10 degrees about the long axis; of the other exam one plane lies where the heart was, and one is missing."""
    heart = Recipe("ukbb", 7, VOLUNTEERS).organ(1)
    true = true_planes(heart)
    up = torch.tensor([0.0, 0, 4], dtype=torch.float64)

    def planned(view, moved=0.0, turned=0.0, by=up):
        origin, normal = (torch.from_numpy(part) for part in true[view])
        axis = torch.from_numpy(heart.long_axis)
        angle = torch.deg2rad(torch.tensor(turned, dtype=torch.float64))
        # a plane holds the long axis, so its normal stands upright on it
        turned_normal = torch.cos(angle) * normal + torch.sin(angle) * torch.linalg.cross(axis, normal)
        return {"origin": (origin + by + moved * normal).tolist(), "normal": turned_normal.tolist()}

    plans = [
        {"views": {"2ch": planned("2ch", moved=3.0), "4ch": planned("4ch", turned=10.0)}},
        {"views": {"2ch": planned("2ch", by=torch.zeros(3)), "4ch": {"origin": None, "normal": None}}},
    ]
    monkeypatch.setattr(breath_holds, "find_inputs", lambda path, section: [{"exam": "a"}, {"exam": "b"}])
    monkeypatch.setattr(breath_holds, "plans_of", lambda data: plans)
    found = breath_holds._planned("list.json", {"a": heart, "b": heart}, {"a": up, "b": up})
    assert found["a", "2ch"] == pytest.approx((0, 3), abs=1e-4)
    assert found["a", "4ch"] == pytest.approx((10, 0), abs=1e-4)
    assert found["b", "2ch"] == pytest.approx((0, 4 * abs(true["2ch"][1][2])), abs=1e-4)
    assert found["b", "4ch"] is None
