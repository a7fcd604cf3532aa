from __future__ import annotations

import json
import sys

import pytest
import torch
from monai.data import MetaTensor
from planewise.evaluation import (
    LabelSlicesd,
    LocationWriter,
)

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
