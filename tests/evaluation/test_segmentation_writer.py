from __future__ import annotations

import numpy as np
import torch
from matplotlib.colors import to_rgb
from monai.data import MetaTensor
from planewise.evaluation import SegmentationWriter
from planewise.reports.slices import STRUCTURE_COLOURS

from .passes import keep_figures, pass_over


def test_each_slice_lies_under_its_own_labels(tmp_path, monkeypatch):
    figures = keep_figures(monkeypatch)
    labels = torch.zeros(1, 6, 5, 3)
    labels[0, 1, 2, 0], labels[0, 4, 3, 2] = 3, 1
    image = MetaTensor(torch.zeros(1, 6, 5, 3), meta={"filename_or_obj": "aa_ed.nii.gz"})
    native = torch.arange(3.0).expand(1, 6, 5, 3)
    writer = SegmentationWriter(tmp_path, {"1": "RV", "3": "LV"})
    pass_over(writer, [[{"native_image": native}]], [[{"image": image, "pred": labels}]])
    figure = figures["segmentation.png"]
    assert (tmp_path / "aa_ed").is_dir() and "not for diagnosis" in figure.get_suptitle()
    pictures = [[np.asarray(shown.get_array()) for shown in axes.get_images()] for axes in figure.axes[:3]]
    assert [float(slice_.max()) for slice_, _ in pictures] == [0, 1, 2]
    overlays = [overlay for _, overlay in pictures]
    # pictures are indexed [row, column] = [j, i]
    assert [np.argwhere(overlay[..., 3]).tolist() for overlay in overlays] == [[[2, 1]], [], [[3, 4]]]
    assert overlays[0][2, 1, :3].tolist() == list(to_rgb(STRUCTURE_COLOURS[3]))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["RV", "LV"]
