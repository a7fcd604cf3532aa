"""Pictures of the validation in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ignite.engine import Engine, Events
from torch.utils.tensorboard import SummaryWriter

from planewise.evaluation.only_a_picture import only_a_picture
from planewise.reports.pretext_figures import heatmap_gallery


class HeatmapPictureHandler:
    """Add the heatmaps of a few validation slices, next to the targets, to TensorBoard. Attach it to the evaluator.

    Args:
        log_dir: folder of the event files.
        views: names of the heatmap channels.
        interval: number of epochs between pictures.
        slices: number of slices; those at the start of the last batch are shown.
    """

    def __init__(self, log_dir: str, views: Sequence[str], interval: int = 1, slices: int = 6) -> None:
        self.log_dir = str(log_dir)
        self.views = tuple(views)
        self.interval = interval
        self.slices = slices

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.epoch % self.interval or not engine.state.output:
            return
        image, target, prediction = (engine.state.output[key] for key in ("image", "label", "pred"))
        arrays = (
            image[: self.slices, 0],
            prediction[: self.slices, : len(self.views)],
            target["heatmaps"][: self.slices],
        )
        shown = [np.asarray(array.detach().float().cpu()) for array in arrays]
        with only_a_picture("the heatmaps' picture"):
            figure = heatmap_gallery(*shown, [""] * len(shown[0]), self.views)
            with SummaryWriter(self.log_dir) as writer:
                writer.add_figure("heatmaps", figure, engine.state.epoch)
