from __future__ import annotations

import sys

import pytest
import torch
from monai.data import MetaTensor
from planewise.evaluation import SegmentationWriter

from .passes import pass_over


@pytest.fixture
def without_matplotlib(monkeypatch):
    """MONAI Label servers have no matplotlib."""
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


def test_without_matplotlib_a_run_goes_on_without_pictures(tmp_path, without_matplotlib, caplog):
    image = MetaTensor(torch.zeros(1, 6, 5, 3), meta={"filename_or_obj": "a.nii.gz"})
    item = {"native_image": image}
    pass_over(SegmentationWriter(tmp_path, {1: "LV"}), [[item, item]], [[{"image": image, "pred": image + 1}] * 2])
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [message.split(":")[0] for message in warned] == ["segmentation.png is not drawn"] * 2
    assert "matplotlib" in caplog.text and not list(tmp_path.rglob("*.png"))
