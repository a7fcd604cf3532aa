"""MONAI's engines for batches that stay whole on the device."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NoReturn

import torch
from ignite.engine import Engine, Events
from monai.data import decollate_batch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.engines.utils import IterationEvents
from torch import nn

from planewise.engines.precision import precision
from planewise.errors import InputError

#: PyTorch's error for a mask with more values than the network has classes.
_NO_CLASS = re.compile(r"Target (-?\d+) is out of bounds")


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
        self._whole: dict[str, Any] = {}
        self.add_event_handler(IterationEvents.FORWARD_COMPLETED, self._keep_whole)

    def _keep_whole(self, engine: Engine) -> None:
        # a postprocessing replaces the output by a list of items
        self._whole = engine.state.output

    def _iteration(self, engine: Any, batchdata: Any) -> Any:
        """One step, with a `BatchOutput`.

        Raises:
            InputError: a mask has a value that is not a class of the network.
        """
        try:
            output: Any = super()._iteration(engine, batchdata)
        except IndexError as error:
            _refuse_class(engine, error)
        whole, self._whole = self._whole, {}
        return BatchOutput(whole, output if isinstance(output, list) else None)


def _refuse_class(engine: Engine, error: BaseException) -> NoReturn:
    """Raise an error of a step again: if a mask has a value that is not a class of the network, as an `InputError`."""
    if isinstance(error, IndexError) and (found := _NO_CLASS.search(str(error))):
        raise InputError(
            f"a mask has the value {found[1]}, which is not a class of the network; name every value in --structures, or "
            "rename the values with `planewise index --label-map`"
        ) from error
    raise error


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
        self.add_event_handler(Events.EXCEPTION_RAISED, _refuse_class)

    def _iteration(self, engine: Any, batchdata: Any) -> Any:
        """One batch, with a `BatchOutput` unless the items were processed one by one."""
        output: Any = super()._iteration(engine, batchdata)
        return BatchOutput(output) if isinstance(output, dict) else output
