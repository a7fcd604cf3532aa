from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from monai.data import MetaTensor
from planewise.evaluation import (
    LabelSlicesd,
    LocationScores,
    LocationWriter,
    PlanWriter,
    PretextReport,
)
from planewise.reports.slices import save_picture

from .passes import pass_over


@pytest.fixture
def without_matplotlib(monkeypatch):
    """MONAI Label servers have no matplotlib."""
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


def test_without_matplotlib_locations_are_written_for_every_stack(tmp_path, without_matplotlib, caplog):
    outputs = []
    for name in ("a", "b"):
        image = MetaTensor(torch.zeros(1, 6, 5, 3), meta={"filename_or_obj": f"{name}.nii.gz"})
        outputs.append(LabelSlicesd()({"image": image, "pred": torch.arange(3.0).expand(1, 6, 5, 3)}))
    pass_over(LocationWriter(tmp_path), [[{}, {}]], [outputs])
    for name in ("a", "b"):
        assert json.loads((tmp_path / name / "locations.json").read_text())["locations"] == [0, 1, 2]
        assert not (tmp_path / name / "locations.png").exists()
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [message.split(":")[0] for message in warned] == ["locations.png is not drawn"] * 2
    assert "matplotlib" in caplog.text


def test_without_matplotlib_planes_are_written(tmp_path, without_matplotlib, caplog):
    plane = {"verdict": "plane", "reasons": [], "origin": [1.0, 2, 3], "normal": [1.0, 0, 0]}
    numbers = {"residual_mm": 1.0, "spread_deg": 2.0, "agreement": 0.9}
    unknown = {"within_deg": None, "within_mm": None, "slices_that_disagree": [], "slices_without_a_line": []}
    plan = {"note": "research", "bounds_measured_on": None, "views": {"2ch": plane | numbers | unknown}}
    image = MetaTensor(torch.zeros(1, 6, 5, 3), meta={"filename_or_obj": "a.nii.gz"})
    output = {"image": image, "plan": plan, "network_heatmaps": torch.zeros(1, 6, 5, 3)}
    pass_over(PlanWriter(tmp_path), [[{}]], [[output]])
    (markup,) = json.loads((tmp_path / "a/planes.mrk.json").read_text())["markups"]
    assert markup["display"]["color"] == [1, 127 / 255, 14 / 255], "#ff7f0e"
    assert json.loads((tmp_path / "a/plan.json").read_text()) == plan and "plan.png is not drawn" in caplog.text


def test_without_matplotlib_a_pretext_is_scored(tmp_path, without_matplotlib, caplog):
    dataset = SimpleNamespace(items=[{"exam": "a", "slice": number} for number in range(4)])
    label = {"location": torch.tensor([0.0, 0.25, 0.5, 1.0])}
    prediction = (label["location"] + 0.125)[:, None, None, None]
    output = {"image": torch.zeros(4, 1, 1, 1), "label": label, "pred": prediction}
    report = PretextReport(tmp_path, dataset, [LocationScores()])
    pass_over(report, [{"index": torch.arange(4)}], [output])
    assert json.loads((tmp_path / "metrics.json").read_text())["location"]["mae"] == 0.125
    assert (tmp_path / "slices.csv").exists() and not (tmp_path / "regression.png").exists()
    assert "regression.png is not drawn" in caplog.text


def test_who_ends_the_run_ends_it(tmp_path):
    def draw():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_picture(tmp_path / "x.png", draw)
