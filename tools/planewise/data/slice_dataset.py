"""Batches of slices, of volumes and of photographs, and the loader of datasets that return whole batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose
from torch.utils.data import DataLoader, Dataset

from planewise.data.datalist import expand_volumes, gather_stacks
from planewise.data.samplers import OrderedSampler
from planewise.data.slice_cache import PHOTOGRAPH, SLICE, VOLUME, SliceCache, as_batch, default_cache_dir, in_a_line
from planewise.data.to_device import DeviceArrays, to_device
from planewise.errors import InputError, refusal
from planewise.files.datalists import VIEWER
from planewise.files.photographs import is_photograph
from planewise.preprocessing import LoadSliced
from planewise.preprocessing.exam_name import exam_of

logger = logging.getLogger(__name__)


class SliceDataset(Dataset):
    """Preprocessed slices, read in whole batches.

    A batch is a dictionary of tensors: ``image`` ``(B, 1, i, j)`` float32, masks ``(B, 1, i, j)`` float32, ``affine``
    ``(B, 4, 4)`` float64, ``image_padding`` ``(B, 1)``, the targets (``planes``, ``location``), and ``index`` ``(B,)``
    into `items`; all on one device. Every batch has its own memory.

    Args:
        data: items of a datalist; whole NIfTI volumes (``{"image", "label"}``) are cut into slices.
        transform: deterministic MONAI transforms from an item to tensors; image-like tensors must be ``(C, i, j, 1)``.
            They read files, which is slow, but they run only once (`SliceCache`).
        targets: transforms that need only the datalist's information (planes, location). They run when the dataset is
            created, so a change of the views or of the mapping needs no new cache. Items that they refuse are left out.
        device: device for the batches; None is the CPU. On a CUDA device, batches are returned without waiting for it
            (`DeviceArrays`), so load them in the main process.
        cache_dir, label_keys, num_workers, progress: see `SliceCache`.

    Raises:
        InputError: ``targets`` refuses all items, or gives no item a known value (all are NaN).
    """

    #: What the rows of the cache are.
    kind = SLICE

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable[[dict[str, Any]], dict[str, Any]],
        targets: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        *,
        cache_dir: str | Path | None = None,
        device: str | torch.device | None = None,
        label_keys: Sequence[str] = ("label",),
        num_workers: int | None = None,
        progress: bool = True,
    ) -> None:
        self.data = data
        self.transform = transform
        folder = cache_dir or default_cache_dir()
        cache = SliceCache(self.cases(data), transform, folder, label_keys, num_workers, progress, self.kind)
        rows, made = _make_targets(cache, targets)
        self.items = [cache.items[row] for row in rows]
        self._rows = torch.tensor(rows, dtype=torch.long)
        self._arrays = DeviceArrays(cache.arrays, device)
        self._targets = {
            name: torch.stack([entry[name] for entry in made]).to(self._arrays.device)
            for name in (made[0] if made else ())
        }

    @staticmethod
    def cases(data: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The items to preprocess, one for each row of the cache."""
        return expand_volumes(data)

    def __len__(self) -> int:
        return len(self.items)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        index = torch.as_tensor(indices, dtype=torch.long)
        batch = self._arrays.rows(self._rows[index])
        index = to_device(index, self._arrays.device)
        batch |= {name: values.index_select(0, index) for name, values in self._targets.items()}
        batch["index"] = index
        return batch

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}


def _make_targets(
    cache: SliceCache, targets: Callable[[dict[str, Any]], dict[str, Any]] | None
) -> tuple[list[int], list[dict[str, torch.Tensor]]]:
    """The rows of the cache whose targets can be computed, and these targets; the log counts the others."""
    if targets is None:
        return cache.kept, []
    made: dict[int, dict[str, torch.Tensor]] = {}
    refused: list[tuple[str, str]] = []
    for row in cache.kept:
        try:
            item = targets(dict(cache.items[row]))
        except (RuntimeError, ValueError) as error:
            reason = refusal(error)
            if reason is None:
                raise
            refused.append((str(cache.items[row].get("exam", "?")), str(reason)))
        else:
            made[row] = {name: value for name, value in item.items() if isinstance(value, torch.Tensor)}
    count, noun = len(cache.kept), f"{cache.kind.noun}s"
    if refused and not made:
        raise InputError(f"none of the {count} {noun} can be used: {in_a_line(refused)}")
    if refused:
        logger.warning("%d of %d %s left out: %s", len(refused), count, noun, in_a_line(refused))
    found = list(made.values())
    names = [name for name in (found[0] if found else ()) if found[0][name].is_floating_point()]
    # MONAI Label's server passes volumes with masks, which contain no planes or locations
    if names and not any(bool(torch.isfinite(entry[name]).any()) for name in names for entry in found):
        raise InputError(
            f"none of the {len(made)} {noun} has {' or '.join(names)}; train on a datalist from `planewise index`"
        )
    return list(made), found


class BatchLoader(DataLoader):
    """PyTorch's ``DataLoader`` for datasets that return a whole batch at once (`as_batch`). It loads in this process.

    Args:
        dataset: the dataset.
        arguments: those of ``DataLoader``. Without a sampler, each item comes once, in order (`OrderedSampler`).
    """

    def __init__(self, dataset: Dataset, **arguments: Any) -> None:
        # compare with None, because an empty sampler is false in a Boolean test
        if all(arguments.get(name) is None for name in ("sampler", "batch_sampler", "shuffle")):
            arguments["sampler"] = OrderedSampler(dataset)
        super().__init__(dataset, **{"collate_fn": as_batch, **arguments})


class PhotographDataset(SliceDataset):
    """A `SliceDataset` of photographs, ``image`` ``(B, 3, i, j)`` and ``image_padding`` ``(B, 3)``; ``transform`` must
    begin with `LoadPhotographd`."""

    kind = PHOTOGRAPH

    @staticmethod
    def cases(data: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [dict(item, exam=exam_of(item)) for item in data]


class VolumeDataset(SliceDataset):
    """A `SliceDataset` of whole volumes: ``image`` ``(B, channels, i, j, k)``, masks ``(B, 1, i, j, k)`` and
    ``image_padding`` ``(B, channels)``; ``transform`` must begin with `LoadVolumed`.

    If the items are slices, as in the datalists of hearts, knees and any organ, the slices of a stack become one volume
    (`gather_stacks`). Items without ``exam`` come from MONAI Label, so their masks may use its numbers.
    """

    kind = VOLUME

    @staticmethod
    def cases(data: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return gather_stacks([item if "exam" in item else {**item, "label_origin": VIEWER} for item in data])


class VolumeSliceDataset(VolumeDataset):
    """The slices across the third axis of a `VolumeDataset`'s volumes, for the 2D form of a method for volumes.

    The preprocessing and the cache are those of the volumes, so both forms see the same voxels. A batch contains
    ``image`` ``(B, channels, i, j)``, masks ``(B, 1, i, j)`` and each slice's own ``affine`` ``(B, 4, 4)``; `items` has
    one item for each slice, with its number under ``slice``.
    """

    def __init__(
        self, data: Sequence[dict[str, Any]], transform: Callable[[dict[str, Any]], dict[str, Any]], **options: Any
    ) -> None:
        super().__init__(data, transform, **options)
        self._depth = self._arrays.rows(self._rows[:1])["image"].shape[-1] if self.items else 0
        self.items = [{**item, "slice": number} for item in self.items for number in range(self._depth)]

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        index = torch.as_tensor(indices, dtype=torch.long)
        batch = self._arrays.rows(self._rows[index // self._depth])
        number = to_device(index % self._depth, self._arrays.device)
        for name, value in batch.items():
            if value.ndim == 5:
                batch[name] = value.take_along_dim(number.reshape(-1, 1, 1, 1, 1), dim=4)[..., 0]
        affine = batch["affine"].clone()
        affine[:, :3, 3] += number[:, None] * affine[:, :3, 2]
        return batch | {"affine": affine, "index": to_device(index, self._arrays.device)}


def volumes_or_slices(
    data: Sequence[dict[str, Any]],
    transform: Callable[[dict[str, Any]], dict[str, Any]],
    spatial_dims: int = 3,
    **options: Any,
) -> SliceDataset:
    """Make the dataset that suits the network and the data.

    A network for volumes needs a `VolumeDataset`. For a network for images, the result is a `VolumeSliceDataset` of
    volumes or a `PhotographDataset` of photographs. If the transform loads slices, the result is a `SliceDataset`.

    Args:
        data, transform, options: see these classes.
        spatial_dims: 3 for a network for volumes, 2 for a network for images.

    Raises:
        InputError: there are photographs, and the network takes volumes or slices.
    """
    steps = transform.flatten().transforms if isinstance(transform, Compose) else [transform]
    slices = any(isinstance(step, LoadSliced) for step in steps)
    photographs = any(isinstance(item.get("image"), (str, Path)) and is_photograph(item["image"]) for item in data)
    if photographs and (slices or spatial_dims == 3):
        raise InputError(
            f"this network takes {'slices' if slices else 'volumes'}, not photographs; add configs/photograph.yaml"
        )
    kind = SliceDataset if slices else PhotographDataset if photographs else VolumeDataset
    return (VolumeSliceDataset if kind is VolumeDataset and spatial_dims == 2 else kind)(data, transform, **options)
