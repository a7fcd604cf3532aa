from __future__ import annotations

import json
import sys

import pytest
import torch
from monai.data import MetaTensor
from planewise.evaluation import LocationWriter, SegmentationWriter
from planewise.evaluation.only_a_picture import only_a_picture

from .passes import pass_over


@pytest.fixture
def without_matplotlib(monkeypatch):
    """As in a MONAI Label server."""
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


def test_without_matplotlib_locations_are_written_for_every_stack(tmp_path, without_matplotlib, caplog):
    outputs = []
    for name in ("a", "b"):
        image = MetaTensor(torch.zeros(1, 6, 5, 3), meta={"filename_or_obj": f"{name}.nii.gz"})
        outputs.append({"image": image, "pred": torch.arange(3.0).expand(1, 6, 5, 3)})
    pass_over(LocationWriter(tmp_path), [[{}, {}]], [outputs])
    for name in ("a", "b"):
        assert json.loads((tmp_path / name / "locations.json").read_text())["locations"] == [0, 1, 2]
        assert not (tmp_path / name / "locations.png").exists()
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [message.split(":")[0] for message in warned] == ["locations.png is not drawn"] * 2
    assert "matplotlib" in caplog.text


def test_without_matplotlib_a_segmentation_goes_on(tmp_path, without_matplotlib, caplog):
    image = MetaTensor(torch.zeros(1, 6, 5, 3), meta={"filename_or_obj": "a.nii.gz"})
    item, output = {"native_image": image}, {"image": image, "pred": torch.zeros(1, 6, 5, 3)}
    pass_over(SegmentationWriter(tmp_path, {1: "LV"}), [[item]], [[output]])
    assert "segmentation.png is not drawn" in caplog.text


def test_who_ends_the_run_ends_it():
    with pytest.raises(KeyboardInterrupt), only_a_picture("x.png"):
        raise KeyboardInterrupt
