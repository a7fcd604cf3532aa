"""The study of breath-holds measures against the phantoms' own shifts."""

import torch
from planewise.metrics.breath_holds import breath_hold_errors
from planewise.phantoms import VOLUNTEERS, Recipe, true_shifts

from tools.studies.breath_holds import measure


def test_errors_before_are_the_phantoms_shifts(tmp_path):
    recipe = Recipe("ukbb", 7, VOLUNTEERS.at_size("demo").with_values(phases=1, breath=3.0, spacing=(3.5, 3.5)))
    undone, before, after = measure(recipe, tmp_path, exams=1)
    true = torch.stack([torch.from_numpy(shift) for shift in true_shifts(recipe.exam(1), dicom=False).values()])
    expected = breath_hold_errors(torch.zeros_like(true), true)
    assert undone == 1
    assert torch.allclose(before.sort().values, expected.sort().values)
    assert after.median() < 0.5 * before.median()
