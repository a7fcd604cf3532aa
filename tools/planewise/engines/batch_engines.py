"""MONAI's engines for batches that stay whole on the device."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from torch import nn

from planewise.data.batch_loader import BatchLoader
from planewise.engines import side_stream as side_streams
from planewise.engines.plain_errors import beyond_classes, not_a_class
from planewise.engines.precision import precision
from planewise.errors import InputError
from planewise.parse_bool import parse_bool
from planewise.preprocessing.exam_name import exam_of


class BatchTrainer(SupervisedTrainer):
    """MONAI's ``SupervisedTrainer`` for whole batches, with non-blocking copies and, if ``amp`` needs it, scaled gradients.

    The loss is moved to the device, because its buffers must be where the predictions are.

    Args:
        device, max_epochs, ...: as for ``monai.engines.SupervisedTrainer``.
        amp: ``auto``, true, false, or a precision (`planewise.engines.precision`). Only float16 needs scaled gradients. The
            inferer casts to the precision (`planewise.engines.AutocastInferer`).
        side_stream: make batches on a side stream of a GPU (`planewise.engines.SideStream`); other devices ignore it. It
            is off by default, because its gain has not been measured.
    """

    def __init__(
        self,
        device: str | torch.device,
        amp: bool | str = "auto",
        non_blocking: bool = True,
        decollate: bool = False,
        side_stream: bool | str = False,
        **arguments: Any,
    ) -> None:
        scaled = precision(amp, device) == "float16"
        super().__init__(device=device, amp=scaled, non_blocking=non_blocking, decollate=decollate, **arguments)
        if isinstance(self.loss_function, nn.Module):
            self.loss_function.to(device)
        if parse_bool(side_stream, "side_stream") and torch.device(device).type in side_streams.KINDS:
            self.prepare_batch = side = side_streams.SideStream(self.prepare_batch, device)
            if isinstance(self.data_loader, BatchLoader):
                self.data_loader.wrap = side.batches

    def _iteration(self, engine: Any, batchdata: Any) -> dict:
        """One step.

        Raises:
            InputError: a mask has a value that is not a class of the network; the error names the exam.
        """
        try:
            return super()._iteration(engine, batchdata)
        except IndexError as error:
            raise _with_exam(error, batchdata, self.data_loader)  # noqa: B904 - it has its cause


def _with_exam(error: BaseException, batch: Any, loader: Any) -> BaseException:
    """An error that names the exam whose mask has a value that is not a class; the given error if the exam is unknown."""
    value = beyond_classes(error)
    exam = _exam_with(value, batch, getattr(loader, "dataset", None))
    if exam is None:
        return error
    named = InputError(f"exam {exam}: {not_a_class(value, 'its mask')}")
    named.__cause__ = error
    return named


def _exam_with(value: int | None, batch: Any, dataset: Any) -> str | None:
    """The first exam of a batch whose mask has this value; None if it is unknown."""
    found = batch if isinstance(batch, dict) else {}
    label, index, items = found.get("label"), found.get("index"), getattr(dataset, "items", None)
    if value is None or label is None or index is None or items is None:
        return None
    rows = index[(label == value).flatten(1).any(dim=1)].tolist()
    return next((exam_of(items[row]) for row in rows), None)


class BatchEvaluator(SupervisedEvaluator):
    """MONAI's ``SupervisedEvaluator`` for whole batches, unless a postprocessing needs the items one by one.

    Args:
        device, val_data_loader, ...: as for ``monai.engines.SupervisedEvaluator``.
        amp: as for `BatchTrainer`.
        lower_is_better: whether the epoch with the lowest key metric is the best, as for a loss.
        decollate: whether items are processed one by one; by default, if there is a ``postprocessing``.
    """

    def __init__(
        self,
        device: str | torch.device,
        amp: bool | str = "auto",
        lower_is_better: bool = False,
        non_blocking: bool = True,
        decollate: bool | None = None,
        **arguments: Any,
    ) -> None:
        if decollate is None:
            decollate = arguments.get("postprocessing") is not None
        if lower_is_better:
            arguments.setdefault("metric_cmp_fn", lambda current, best: current < best)
        scaled = precision(amp, device) == "float16"
        super().__init__(device=device, amp=scaled, non_blocking=non_blocking, decollate=decollate, **arguments)
        self.add_event_handler(Events.EXCEPTION_RAISED, self._refused)

    def _refused(self, engine: Any, error: BaseException) -> None:
        """Raise the error of a step, or of a metric such as the loss, as a step of `BatchTrainer` does. As the first handler,
        this comes before MONAI's, which would log a traceback."""
        raise _with_exam(error, engine.state.batch, self.data_loader)
