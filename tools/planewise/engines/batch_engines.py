"""MONAI's engines for batches that stay whole on the device."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai import metrics
from monai.data import decollate_batch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.handlers import IgniteMetricHandler
from monai.utils import CommonKeys, ensure_tuple
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from planewise.engines.precision import precision
from planewise.engines.running_parser import running_parser
from planewise.errors import InputError
from planewise.preprocessing.exam_name import exam_of

#: MONAI's metrics of masks; given logits, they return a number without a meaning.
_OF_MASKS = (
    metrics.ConfusionMatrixMetric,
    metrics.DiceMetric,
    metrics.FBetaScore,
    metrics.GeneralizedDiceScore,
    metrics.HausdorffDistanceMetric,
    metrics.MeanIoU,
    metrics.SurfaceDiceMetric,
    metrics.SurfaceDistanceMetric,
)
#: PyTorch's error for a mask with more values than the network has classes.
_NO_CLASS = re.compile(r"Target (-?\d+) is out of bounds")
#: PyTorch's warning if a loss would broadcast the target.
_BROADCAST = "Using a target size"


class BatchOutput(list):
    """An engine's output for one batch as a list of its B items, which MONAI's handlers expect: ``output[0]["loss"]``.
    A name gives the whole batch's value: ``output["pred"]``, ``(B, ...)``, or the scalar ``output["loss"]``.

    Items are taken apart when they are first asked for, because that waits for the device: scalars become numbers.
    """

    def __init__(self, whole: dict[str, Any], items: list[Any] | None = None) -> None:
        super().__init__()
        self.whole = whole
        if items is not None:
            self.items = items

    @cached_property
    def items(self) -> list[Any]:
        return decollate_batch(self.whole)

    def __getitem__(self, key: Any) -> Any:
        return self.whole[key] if isinstance(key, str) else self.items[key]

    def __contains__(self, key: object) -> bool:
        return key in self.whole

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class BatchTrainer(SupervisedTrainer):
    """MONAI's ``SupervisedTrainer`` for whole batches, with non-blocking copies and, if ``amp`` needs it, scaled gradients.

    The loss is moved to the device, because its buffers must be where the predictions are.

    Args:
        device, max_epochs, ...: as for ``monai.engines.SupervisedTrainer``, but gradients are set to None before a step by
            default. MONAI's default sets them to zero and adds to them: one more kernel for each weight.
        amp: ``auto``, true, false, or a precision (`planewise.engines.precision`). Only float16 needs scaled
            gradients. The inferer casts to the precision (`planewise.engines.AutocastInferer`).
        decollate: whether items are processed one by one; by default, if there is a ``postprocessing``.
    """

    def __init__(
        self,
        device: str | torch.device,
        amp: bool | str = "auto",
        non_blocking: bool = True,
        decollate: bool | None = None,
        optim_set_to_none: bool = True,
        **arguments: Any,
    ) -> None:
        if decollate is None:
            decollate = arguments.get("postprocessing") is not None
        own = {"non_blocking": non_blocking, "decollate": decollate, "optim_set_to_none": optim_set_to_none}
        super().__init__(device=device, amp=precision(amp, device) == "float16", **own, **arguments)
        if isinstance(self.loss_function, nn.Module):
            self.loss_function.to(device)
        self._outputs_fit = False
        self.add_event_handler(IterationEvents.FORWARD_COMPLETED, self._check_outputs)

    def _iteration(self, engine: Any, batchdata: Any) -> Any:
        """One step, with a `BatchOutput`.

        Raises:
            InputError: the network has another number of outputs than the config's ``structures`` need; or a mask has a value
                that is not a class of the network (the error names the exam).
        """
        engine.state.output = None
        try:
            if self._outputs_fit:
                output: Any = super()._iteration(engine, batchdata)
            else:
                with warnings.catch_warnings():
                    warnings.filterwarnings("error", _BROADCAST)
                    output = super()._iteration(engine, batchdata)
            whole, self._whole = self._whole, {}
            return BatchOutput(whole, output if isinstance(output, list) else None)
        except IndexError as error:
            raise _with_exam(error, batchdata, self.data_loader)  # noqa: B904 - it has its cause

    def _check_outputs(self, engine: Engine) -> None:
        """Before the first step, compare the network's outputs with the classes: the background and the config's
        ``structures``."""
        self._whole = engine.state.output
        if self._outputs_fit:
            return
        self._outputs_fit = True
        parser = running_parser()
        settings = parser.get() if parser is not None else {}
        if parser is None or "structures" not in settings or settings.get("transfer") == "multitask":
            return  # in multitask training, this may be a step of the pretext
        structures = parser.get_parsed_content("structures")
        image, prediction = (engine.state.output[key] for key in (CommonKeys.IMAGE, CommonKeys.PRED))
        if not structures or not isinstance(prediction, Tensor) or prediction.ndim != image.ndim:
            return
        found, needed = prediction.shape[1], len(structures) + 1
        if found != needed:
            raise InputError(
                f"the network has {found} outputs, but needs {needed}: one for each of the {needed - 1} --structures and one "
                f"for the background; give network_def {needed} outputs (out_channels or num_maps: $len(@structures) + 1)"
            )


def _with_exam(error: BaseException, batch: Any, loader: Any) -> BaseException:
    """An error that names the exam whose mask has a value that is not a class; the given error if the exam is unknown."""
    found = _NO_CLASS.search(str(error)) if isinstance(error, IndexError) else None
    items = getattr(getattr(loader, "dataset", None), "items", None)
    if found is None or items is None or not isinstance(batch, dict) or not {"label", "index"} <= batch.keys():
        return error
    rows = batch["index"][(batch["label"] == int(found[1])).flatten(1).any(dim=1)].tolist()
    if not rows:
        return error
    named = InputError(
        f"exam {exam_of(items[rows[0]])}: its mask has the value {found[1]}, which is not a class of the network; name every "
        "value in --structures, or rename the values with `planewise index --label-map`"
    )
    named.__cause__ = error
    return named


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
        self._finite: list[Tensor] = []
        first = SimpleNamespace(
            attach=lambda engine: engine.add_event_handler(Events.EPOCH_COMPLETED, self._check_finite)
        )
        arguments["val_handlers"] = [first, *ensure_tuple(arguments.get("val_handlers") or ())]
        super().__init__(device=device, amp=scaled, non_blocking=non_blocking, decollate=decollate, **arguments)
        self._metrics = {**(arguments.get("key_val_metric") or {}), **(arguments.get("additional_metrics") or {})}
        self.add_event_handler(Events.EXCEPTION_RAISED, self._refused)
        self.add_event_handler(Events.ITERATION_COMPLETED(once=1), self._check_masks)

    def _iteration(self, engine: Any, batchdata: Any) -> Any:
        """One batch, with a `BatchOutput` unless the items were processed one by one."""
        output: Any = super()._iteration(engine, batchdata)
        if not isinstance(output, dict):
            return output
        predictions = [each for each in tree_leaves(output[CommonKeys.PRED]) if isinstance(each, Tensor)]
        self._finite += [each.isfinite().all() for each in predictions]
        return BatchOutput(output)

    def _check_finite(self, engine: Any) -> None:
        """Refuse predictions of a diverged network, before they are scored."""
        finite, self._finite = self._finite, []
        if finite and not torch.stack(finite).all():
            raise InputError(
                "the network's predictions are NaN or infinite, so its training has diverged; train it again with `--resume "
                "false` and a smaller --learning_rate, or with --amp false; if the result is the same, check the images"
            )

    def _refused(self, engine: Any, error: BaseException) -> None:
        """Name the exam in the error of a step. This handler is the first, so it runs before MONAI's, which would log a
        traceback."""
        named = _with_exam(error, engine.state.batch, self.data_loader)
        if named is error:
            self._check_finite(engine)  # metrics of a diverged network fail in many ways
        raise named

    def _check_masks(self, engine: Any) -> None:
        """In the first batch, refuse predictions that are not masks for MONAI's metrics of masks."""
        for name, metric in self._metrics.items():
            if not isinstance(metric, IgniteMetricHandler) or not isinstance(metric.metric_fn, _OF_MASKS):
                continue
            prediction = metric._output_transform(engine.state.output)[0]
            images = torch.cat([torch.as_tensor(each).flatten().float() for each in prediction])
            classes = getattr(metric.metric_fn, "num_classes", None) or 2
            wrong = images[(images != images.round()) | (images < 0) | (images >= classes)]
            if len(wrong):
                raise InputError(
                    f"{name} ({type(metric.metric_fn).__name__}) scores masks, but its prediction has values such as "
                    f"{wrong[0]:.4g}: `pred` holds the network's logits, and more values than 0 and 1 need `num_classes`; "
                    "tools/docs/experiments.md shows an `output_transform` that makes masks of logits"
                )
