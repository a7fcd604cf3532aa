"""MONAI's engines for batches that stay whole on the device, the preparation of these batches, and a trainer of forests."""

from __future__ import annotations

import ctypes
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import ignite.distributed as idist
import torch
from einops import rearrange
from ignite.engine import Engine, Events
from monai.data import decollate_batch
from monai.engines import PrepareBatch, SupervisedEvaluator, SupervisedTrainer
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn
from torch.utils.data import Dataset

from planewise.augmentation.each_image import whole_batches
from planewise.data.to_device import to_device
from planewise.engines.inferers import precision
from planewise.errors import InputError
from planewise.files.atomic_write import atomic_write
from planewise.networks import ForestNet
from planewise.reports.tables import write_csv

logger = logging.getLogger(__name__)

#: PyTorch's error for a mask with more values than the network has classes.
_NO_CLASS = re.compile(r"Target (-?\d+) is out of bounds")
#: A function that takes a batch and returns it with changed or added entries.
BatchTransform = Callable[[dict[str, Any]], dict[str, Any]]
#: Options of glibc's ``mallopt``: blocks from 32 MiB on are returned, or else the peak would rise by a quarter at the papers'
#: width; smaller ones are not.
_KEEP = {-3: 2**25, -1: 2**31 - 1}


class BatchOutput(list):
    """An engine's output for one batch as a list of its B items, which MONAI's handlers expect: ``output[0]["loss"]``.
    A name gives the whole batch's value: ``output["pred"]``, ``(B, ...)``, or the scalar ``output["loss"]``.

    Items are taken apart when they are first asked for, because that waits for the device: scalars become numbers.
    """

    def __init__(self, whole: dict[str, Any]) -> None:
        super().__init__()
        self.whole = whole

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
    """

    def __init__(self, device: str | torch.device, amp: bool | str = "auto", **arguments: Any) -> None:
        own = {"non_blocking": True, "decollate": False, "optim_set_to_none": True}
        super().__init__(device=device, amp=precision(amp, device) == "float16", **own | arguments)
        _keep_freed_memory(device)
        if isinstance(self.loss_function, nn.Module):
            self.loss_function.to(device)

    def _iteration(self, engine: Any, batchdata: Any) -> BatchOutput:
        try:
            output: Any = super()._iteration(engine, batchdata)
        except IndexError as error:
            _refuse_class(engine, error)
        return BatchOutput(output)


def _keep_freed_memory(device: str | torch.device) -> None:
    """Let this process keep the memory that a step on a CPU frees. The system would provide it page by page to the next step,
    thousands of times."""
    if torch.device(device).type == "cpu":
        with suppress(AttributeError, OSError, TypeError):  # only glibc has this function
            library = ctypes.CDLL(None)
            for option, value in _KEEP.items():
                library.mallopt(option, value)


def _refuse_class(engine: Engine, error: BaseException) -> NoReturn:
    """Raise an error of a step again: if a mask has a value that is not a class of the network, as an `InputError`."""
    if isinstance(error, IndexError) and (found := _NO_CLASS.search(str(error))):
        raise InputError(
            f"a mask has the value {found[1]}, no class; name it in --structures, or use `planewise index --label-map`"
        ) from error
    raise error


class BatchEvaluator(SupervisedEvaluator):
    """MONAI's ``SupervisedEvaluator`` for whole batches, unless a postprocessing needs the items one by one.

    Args:
        device, val_data_loader, ...: as for ``monai.engines.SupervisedEvaluator``.
        amp: as for `BatchTrainer`.
        lower_is_better: whether the epoch with the lowest key metric is the best, as for a loss.
    """

    def __init__(
        self, device: str | torch.device, amp: bool | str = "auto", lower_is_better: bool = False, **arguments: Any
    ) -> None:
        own: dict[str, Any] = {"non_blocking": True, "decollate": arguments.get("postprocessing") is not None}
        if lower_is_better:
            own["metric_cmp_fn"] = lambda current, best: current < best
        super().__init__(device=device, amp=precision(amp, device) == "float16", **own | arguments)
        _keep_freed_memory(device)
        self.add_event_handler(Events.EXCEPTION_RAISED, _refuse_class)

    def _iteration(self, engine: Any, batchdata: Any) -> Any:
        output: Any = super()._iteration(engine, batchdata)
        return BatchOutput(output) if isinstance(output, dict) else output


class PrepareSliceBatch(PrepareBatch):
    """Move a batch to the device, apply the batch transforms there, and split the batch into image and target. The pretext
    comes after the augmentation, because its targets must match the image that the network sees.

    Args:
        targets: keys of the target. A single key gives a tensor as the target; a list of keys gives a dictionary.
        augmentation: random transforms (``train#augmentation``); None in validation.
        pretext: the pretext's batch transform (``train#pretext``); None if the items already contain the targets.
    """

    def __init__(
        self,
        targets: str | Sequence[str],
        augmentation: BatchTransform | None = None,
        pretext: BatchTransform | None = None,
    ) -> None:
        self.targets = targets if isinstance(targets, str) else tuple(targets)
        self.augmentation = None if augmentation is None else whole_batches(augmentation)
        self.pretext = pretext

    def __call__(
        self, batchdata: dict[str, Tensor], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, Tensor | dict[str, Tensor]]:
        batch = on_device(batchdata, device, non_blocking, self.augmentation, self.pretext)
        if isinstance(self.targets, str):
            return batch["image"], batch[self.targets]
        return batch["image"], {key: batch[key] for key in self.targets if key in batch}


class PrepareStackBatch(PrepareBatch):
    """Move a batch of `StackDataset` to the device, apply the random batch transforms there, and split the batch into the
    image ``(B, phases, H, W, S)``, the labels ``(B, ...)``, no positional arguments, and the keyword argument ``mask``
    ``(B, S)`` for the network. The slices of a stack are its channels in the augmentation, so they move together.

    Args:
        augmentation: random transforms (``train#augmentation``); None in validation.
        phases: number of stacks per exam, which are concatenated in the batch's channels: 2 for a `TwoPhaseDataset`.
    """

    def __init__(self, augmentation: BatchTransform | None = None, phases: int = 1) -> None:
        self.phases = phases
        self.augmentation = None if augmentation is None else whole_batches(augmentation)

    def __call__(
        self, batchdata: dict[str, Tensor], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, Tensor, tuple, dict[str, Tensor]]:
        batch = on_device(batchdata, device, non_blocking, self.augmentation)
        image = rearrange(batch["image"], "b (phase s) h w -> b phase h w s", phase=self.phases)
        return image, batch["label"], (), {"mask": batch["mask"]}


def on_device(
    batch: dict[str, Tensor], device: str | torch.device | None, non_blocking: bool, *transforms: BatchTransform | None
) -> dict[str, Tensor]:
    """Move a batch to the device and apply the transforms there, one after the other."""
    pinned = non_blocking and device is not None
    batch = {name: to_device(value, device) if pinned else value.to(device) for name, value in batch.items()}
    with torch.no_grad():
        for transform in transforms:
            if transform is not None:
                batch = transform(batch)
    if torch.is_grad_enabled() and idist.get_world_size() > 1:
        # all processes share the seed that the transforms need, but their dropout must differ
        torch.manual_seed((torch.initial_seed() * 1_000_003 + idist.get_rank() + 1) % 2**63)
    return batch


@dataclass(eq=False, repr=False)
class ForestTrainer:
    """Fit scikit-learn's random forest to the features of a dataset, and copy the forest into a network. Fitting takes a
    second, so there are no epochs, and every run starts over.

    Args:
        dataset: items with ``image``, the features ``(F,)``, and ``label``, the index of the class.
        network: the network that gets the forest.
        feature_names: names of the features, as columns of ``features.csv``.
        output_dir, ckpt_dir: folders of ``features.csv`` and of ``model.pt``, the network's state dict.
        seed: seed of the forest.
        max_epochs, train_handlers: not used; MONAI's tools expect these arguments.
    """

    dataset: Dataset
    network: ForestNet
    feature_names: Sequence[str]
    output_dir: str | Path
    ckpt_dir: str | Path
    seed: int = 0
    max_epochs: int = 1
    train_handlers: Sequence[Any] = ()

    def run(self) -> None:
        """Fit the forest, and save the network and the features; an `InputError` if a class has no exam."""
        items = [self.dataset[index] for index in range(len(self.dataset))]
        labelled = [item for item in items if "label" in item]
        trees, _, classes = self.network.probability.shape
        if absent := sorted(set(range(classes)) - {int(item["label"]) for item in labelled}):
            raise InputError(
                f"class {', '.join(map(str, absent))} has no training exam with masks at ED and ES; set --class_key"
            )
        features = torch.stack([item["image"] for item in labelled])
        labels = torch.stack([item["label"] for item in labelled])
        forest = RandomForestClassifier(n_estimators=trees, random_state=self.seed)
        self.network.copy_forest(forest.fit(features.numpy(), labels.numpy()))
        columns = {name: [item[name] for item in labelled] for name in ("exam", "group")}
        columns |= {name: features[:, index].tolist() for index, name in enumerate(self.feature_names)}
        write_csv(Path(self.output_dir) / "features.csv", columns)
        with atomic_write(Path(self.ckpt_dir) / "model.pt") as part:
            torch.save({name: value.cpu() for name, value in self.network.state_dict().items()}, part)
        logger.info("fitted %d trees to %d exams", trees, len(labelled))
