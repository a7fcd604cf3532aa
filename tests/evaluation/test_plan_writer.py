from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from planewise.evaluation import PlanWriter
from planewise.reports.research_only import RESEARCH_ONLY

from .passes import keep_figures, pass_over

SHAPE = (40, 30, 2)


#: For a plane whose weights have no error bounds.
UNKNOWN = {"within_deg": None, "within_mm": None, "slices_that_disagree": [], "slices_without_a_line": []}


def view(origin, normal, **numbers) -> dict:
    return {"verdict": "plane", "reasons": [], "origin": origin, "normal": normal} | UNKNOWN | numbers


@pytest.fixture
def output() -> dict:
    """Pixels of 2 mm; one plane at x = 24 mm, and one that was refused."""
    plan = {
        "note": RESEARCH_ONLY,
        "frame": "RAS+, mm",
        "slices": 2,
        "locations": [0.25, 0.75],
        "order": 1.0,
        "bounds_measured_on": "9 phantom exams",
        "views": {
            "2ch": view([24.0, 0, 0], [1.0, 0, 0], residual_mm=1.25, spread_deg=2.5, agreement=0.875),
            "4ch": view(None, None, residual_mm=20.0, spread_deg=2.5, agreement=0.5)
            | {"verdict": "no plane", "reasons": ["residual 20.00, but must be at most 12"]},
        },
    }
    affine = torch.diag(torch.tensor([2.0, 2, 8, 1], dtype=torch.float64))
    image = MetaTensor(torch.zeros(1, *SHAPE), affine=affine, meta={"filename_or_obj": "aa.nii.gz"})
    heatmaps = torch.zeros(2, *SHAPE)
    heatmaps[0, 12, :, 0] = heatmaps[1, :, 7, 1] = 1
    return {"image": image, "plan": plan, "network_heatmaps": heatmaps}


def test_files_and_picture_hold_the_plans_numbers(output, tmp_path, monkeypatch):
    figures = keep_figures(monkeypatch)
    pass_over(PlanWriter(tmp_path), [[{}]], [[output]])
    assert json.loads((tmp_path / "aa/plan.json").read_text()) == output["plan"]
    (plane,) = json.loads((tmp_path / "aa/planes.mrk.json").read_text())["markups"]
    assert plane["name"].startswith("2ch") and plane["controlPoints"][0]["position"] == [-24, 0, 0], "LPS"
    figure = figures["plan.png"]
    first, second = figure.axes[:2]
    for axes in (first, second):
        (line,) = axes.get_lines()
        assert line.get_xdata().tolist() == [12, 12], "the refused plane has no line"
    # each slice under its own heatmaps
    layers = [[np.asarray(image.get_array())[..., 3] for image in axes.get_images()[1:]] for axes in (first, second)]
    assert layers[0][0][:, 12].min() > 0 and not layers[0][1].any()
    assert layers[1][1][7].min() > 0 and not layers[1][0].any()


def test_lines_lie_where_the_slices_own_affines_say(output, tmp_path, monkeypatch):
    figures = keep_figures(monkeypatch)
    own = output["image"].affine.repeat(2, 1, 1)
    own[1, 0, 3] = 6
    output["image"].meta["original_affine"] = output["image"].affine.numpy()
    pass_over(PlanWriter(tmp_path), [[{"slice_affines": own}]], [[output]])
    drawn = [axes.get_lines()[0].get_xdata()[0] for axes in figures["plan.png"].axes[:2]]
    assert drawn == pytest.approx([12, 9])
