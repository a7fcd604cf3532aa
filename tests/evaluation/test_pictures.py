from __future__ import annotations

import numpy as np
import torch
from ignite.engine import Engine
from planewise.evaluation import HeatmapPictureHandler
from torch.utils.tensorboard import SummaryWriter


def test_the_first_slices_of_the_last_batch_with_their_own_heatmaps(tmp_path, monkeypatch):
    added = []
    monkeypatch.setattr(SummaryWriter, "add_figure", lambda self, tag, figure, step: added.append((tag, figure, step)))
    prediction, truth = torch.zeros(4, 3, 6, 5), torch.zeros(4, 2, 6, 5)
    for number in range(4):
        prediction[number, 0, number, :] = truth[number, 0, :, number] = 1
    prediction[:, 2] = 0.5  # the location
    image = torch.arange(4.0)[:, None, None, None].expand(-1, 1, 6, 5)
    output = {"image": image, "label": {"heatmaps": truth}, "pred": prediction}
    evaluator = Engine(lambda engine, batch: output)
    HeatmapPictureHandler(str(tmp_path), ["2ch", "4ch"], interval=2, slices=3).attach(evaluator)
    evaluator.run([0], max_epochs=1)
    assert not added, "an epoch of the interval's own"
    evaluator.run([0], max_epochs=2)
    ((tag, figure, step),) = added
    assert (tag, step) == ("heatmaps", 2) and len(figure.axes) == 9
    for number in range(3):
        slice_, reference, predicted = (figure.axes[row * 3 + number].get_images() for row in range(3))
        assert float(np.max(slice_[0].get_array())) == number and len(predicted) == 3
        # layers are transparent where the heatmap is zero; pictures are indexed [j, i]
        assert np.argwhere(np.asarray(predicted[1].get_array())[..., 3])[:, 1].tolist() == [number] * 5
        assert np.argwhere(np.asarray(reference[1].get_array())[..., 3])[:, 0].tolist() == [number] * 6
        assert not np.asarray(predicted[2].get_array())[..., 3].any()
