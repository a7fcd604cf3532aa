"""Preprocessed slices in memory-mapped arrays, built once and shared by all runs that need the same slices."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import logging
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from monai.transforms import Compose, MapTransform, Randomizable, RandomizableTrait
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from planewise.cores import own_cores
from planewise.data.fingerprint import fingerprint
from planewise.errors import InputError
from planewise.files.atomic_write import atomic_write, unwritable
from planewise.files.masks import labels_of
from planewise.files.text import read_json
from planewise.preprocessing.keep_heart import KeepHeartd
from planewise.preprocessing.moved_alone import moved_alone

logger = logging.getLogger(__name__)

PENDING, DONE, REFUSED = 0, 1, 2


def default_cache_dir() -> Path:
    """``$PLANEWISE_CACHE``, or ``planewise`` in the user's cache folder. The folder may be deleted at any time."""
    named = os.environ.get("PLANEWISE_CACHE")
    if named:
        return Path(named)
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:  # neither HOME nor the system's list of users names a folder
        raise InputError(
            "there is no home folder for preprocessed slices; name a folder with --cache_dir or PLANEWISE_CACHE"
        ) from error
    return Path(base) / "planewise"


class SliceCache:
    """The results of a transform on all items: one read-only array per key, ``cache.arrays[key]``, with a row per item.

    Images are stored as float16 and masks as uint8, in contiguous files that are hardly larger than the pixels. They are
    memory-mapped, so a cache may be larger than the memory. The folder's name is a hash of everything on which the cache
    depends (`fingerprint`), so any change leads to a new folder. Worker processes build the cache, and an interrupted
    build is resumed. While one process builds a cache, other processes that need it wait.

    Items that the transform refuses are left out; the log gives their number and the reasons. If files of a cache are
    truncated or missing, the cache is built again.

    Args:
        items: items of a datalist, one per slice.
        transform: MONAI transforms from an item to tensors; image-like tensors must be ``(C, i, j, 1)``.
        cache_dir: folder that contains all caches.
        label_keys: keys of masks.
        num_workers: processes that build the cache; 0 builds it in this process.
        progress: show a progress bar.

    Raises:
        InputError: the transform is random or moves images but not their masks, every item was refused, the disk is full
            (with the required size), or the folder is not writable.
    """

    #: For messages: the name of a row, its shape after preprocessing, and the transform that must come first in the
    #: preprocessing.
    noun, shape, loader = "slice", "(channels, i, j, 1)", "LoadSliced"
    #: Minimum number of items per extra process.
    items_per_worker = 16

    def __init__(
        self,
        items: Sequence[dict[str, Any]],
        transform: Callable[[dict[str, Any]], dict[str, Any]],
        cache_dir: str | Path,
        label_keys: Sequence[str] = ("label",),
        num_workers: int | None = None,
        progress: bool = True,
    ) -> None:
        self.items = list(items)
        self.transform = transform
        self.label_keys = tuple(label_keys)
        self.num_workers = min(8, own_cores()) if num_workers is None else num_workers
        self.progress = progress
        self.arrays: dict[str, torch.Tensor] = {}
        self.kept: list[int] = []
        if not self.items:
            return
        _refuse_steps(transform, self.label_keys)
        depends_on = fingerprint(self.items, transform) | {"masks": list(self.label_keys)}
        key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:20]
        self.folder = Path(cache_dir).expanduser() / key
        with _lock(self.folder):
            if not (self.folder / "complete").exists():
                self._build(depends_on)
            try:
                refused = self._open()
            except (OSError, ValueError, EOFError, LookupError, InputError) as error:  # a file is missing or truncated
                logger.warning("the cache %s is broken (%s); it is built again", self.folder.name, error)
                shutil.rmtree(self.folder)
                self._build(depends_on)
                refused = self._open()
        if refused:
            logger.warning("%d of %d %ss left out: %s", len(refused), len(self.items), self.noun, in_a_line(refused))

    @staticmethod
    def row_of(array: np.ndarray) -> np.ndarray | None:
        """The row to store for an image-like array; None for an array that is not image-like."""
        if array.ndim == 4 and array.shape[3] == 1:
            return array[..., 0]
        return None

    @classmethod
    def stored(cls, result: dict[str, Any], label_keys: Sequence[str]) -> dict[str, np.ndarray]:
        """The tensors of an item in the form in which they are stored.

        The results are NumPy arrays, because tensors would need a file handle each on their way from a worker.
        """
        stored = {}
        for name, value in result.items():
            if not isinstance(value, torch.Tensor):
                continue
            array = np.asarray(value)
            row = cls.row_of(array)
            if row is not None:
                try:
                    stored[name] = labels_of(row) if name in label_keys else row.astype(np.float16)
                except InputError as error:
                    raise InputError(f"exam {result.get('exam', '?')}, mask: {error}") from None
            elif array.ndim > 3 or name in ("image", *label_keys):
                raise InputError(
                    f"exam {result.get('exam', '?')}: {name} has shape {array.shape} after preprocessing; it must be a "
                    f"{cls.noun} {cls.shape}; begin the preprocessing with {cls.loader}"
                )
            else:
                stored[name] = array
        stored["affine"] = np.asarray(result["image"].affine, dtype=np.float64)
        return stored

    def _open(self) -> list[tuple[str, str]]:
        """Memory-map the arrays, and return the exam of each refused item and the reason."""
        complete = read_json(self.folder / "complete")
        arrays = {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in complete["arrays"]}
        self.kept = np.flatnonzero(arrays.pop("state") == DONE).tolist()
        self.arrays = {name: _mapped(array) for name, array in arrays.items()}
        return complete["refused"]

    def _build(self, depends_on: dict[str, Any]) -> None:
        with atomic_write(self.folder / "depends_on.json") as part:
            part.write_text(json.dumps(depends_on, indent=1))
        arrays = {path.stem: np.load(path, mmap_mode="r+") for path in self.folder.glob("*.npy")}
        if "state" not in arrays:
            arrays |= self._allocate({"state": np.array(PENDING, dtype=np.uint8)})
        state = arrays["state"]
        # refused items are tried again, because the cause may have been fixed and the log needs the reasons
        todo = np.flatnonzero(state != DONE).tolist()
        loader = DataLoader(
            _Preprocessed([self.items[index] for index in todo], self.transform, self.label_keys, self.stored),
            batch_size=None,
            num_workers=min(self.num_workers, len(todo) // self.items_per_worker),
            collate_fn=_as_it_is,
            worker_init_fn=_leave_the_parents_objects,
            # without its own generator, building a cache would change the network's initial weights
            generator=torch.Generator(),
        )
        refused: list[tuple[str, str]] = []
        if todo and not self.progress:
            logger.info("preprocessing %d %ss once; later runs read them from the cache", len(todo), self.noun)
        bar = tqdm(loader, total=len(todo), desc="preprocessing", unit=self.noun, disable=not self.progress)
        for index, result in zip(todo, bar, strict=True):
            if isinstance(result, str):
                refused.append((str(self.items[index].get("exam", "?")), result))
                state[index] = REFUSED
                continue
            if not arrays.keys() >= result.keys():
                arrays |= self._allocate({name: value for name, value in result.items() if name not in arrays})
            for name, value in result.items():
                if arrays[name].shape[1:] != value.shape:
                    raise InputError(
                        f"exam {self.items[index].get('exam', '?')}: {name} has shape {value.shape} after preprocessing, but "
                        f"other {self.noun}s have {arrays[name].shape[1:]}; end the preprocessing in ResizeWithPadOrCropd"
                    )
                arrays[name][index] = value
            state[index] = DONE
        if not (state == DONE).any():
            shutil.rmtree(self.folder, ignore_errors=True)
            raise InputError(f"none of the {len(self.items)} {self.noun}s can be used: {in_a_line(refused)}")
        for array in arrays.values():
            array.flush()
        with atomic_write(self.folder / "complete") as part:
            part.write_text(json.dumps({"refused": refused, "arrays": sorted(arrays)}))

    def _allocate(self, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Allocate an array of zeros on the disk for each of these entries, with a row for every item.

        A file gets its final name only when it is complete, so an interrupted process leaves no partial array.
        """
        arrays = {}
        for name, value in like.items():
            partial = self.folder / f"{name}.part"
            shape = (len(self.items), *value.shape)
            try:
                arrays[name] = np.lib.format.open_memmap(partial, mode="w+", dtype=value.dtype, shape=shape)
                # if the disk were full, writing to a sparse file would end the process with SIGBUS
                with open(partial, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)
            except OSError as error:
                partial.unlink(missing_ok=True)
                raise unwritable(self.folder, error) from error
            os.replace(partial, self.folder / f"{name}.npy")
        return arrays


def _refuse_steps(transform: Callable, label_keys: Sequence[str]) -> None:
    """Raise `InputError` if a transform, or a step of it, is random, because its first draw would be stored for all epochs;
    or if it moves images but not their masks."""
    # a Compose counts as random in MONAI; its subclasses, such as OneOf, are
    steps = transform.flatten().transforms if type(transform) is Compose else [transform]
    random = [type(step).__name__ for step in steps if isinstance(step, (Randomizable, RandomizableTrait))]
    if random:
        raise InputError(
            f"the preprocessing has the random transform {', '.join(random)}, but it runs once per image and its result is "
            "cached, so every epoch would get the same draw; put it into train#augmentation (train#pretext#view in pretexts "
            "that learn from two views)"
        )
    masks = [key for key in label_keys if any(isinstance(step, MapTransform) and key in step.keys for step in steps)]
    # a mask that served to find the heart need not move with the image
    gone = any(isinstance(step, KeepHeartd) and not step.keep_mask for step in steps)
    if not gone and (alone := moved_alone(steps, masks)):
        raise InputError(
            f"the preprocessing has {alone}, which moves only one of image and {masks[0]}, so the masks would not fit the "
            f"images; give it `keys: [image, {masks[0]}]`"
        )


class _Preprocessed(Dataset):
    """For each item, the arrays to store, or the reason why the item is refused."""

    def __init__(
        self, items: Sequence[dict[str, Any]], transform: Callable, label_keys: Sequence[str], stored: Callable
    ) -> None:
        self.items, self.transform, self.label_keys, self.stored = items, transform, label_keys, stored

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, np.ndarray] | str:
        try:
            result = self.transform(dict(self.items[index]))
            return self.stored(result, self.label_keys)
        except (RuntimeError, ValueError) as error:
            # MONAI's Compose wraps a transform's error in its own, "applying transform ..."; a Compose may contain another
            reason: BaseException = error
            while isinstance(reason, RuntimeError) and reason.__cause__:
                reason = reason.__cause__
            if not isinstance(reason, (ValueError, OSError)):
                raise
            return str(reason)


def _mapped(array: np.ndarray) -> torch.Tensor:
    """An array on disk as a tensor. The tensor is read-only; writing to it would crash the process."""
    # the writable mode "c" cannot be used: Linux refuses it if the file is larger than the memory
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _as_it_is(item: Any) -> Any:
    return item


def _leave_the_parents_objects(worker: int) -> None:
    """Keep a forked worker from freeing its parent's objects: a process group that is freed would wait for threads that do
    not exist in the fork."""
    gc.freeze()


def in_a_line(refused: Sequence[tuple[str, str]], shown: int = 5) -> str:
    """The most frequent reasons with their counts and their first exam, in one line.

    Args:
        refused: the exam of each item that is left out, and the reason, which usually begins with the exam's name.
        shown: the largest number of reasons.
    """
    reasons = [(text.removeprefix(f"exam {exam}").lstrip(":, "), exam) for exam, text in refused]
    counts, first = Counter(reason for reason, _ in reasons), dict(reversed(reasons))
    said = [f"{reason} ({count}, such as exam {first[reason]})" for reason, count in counts.most_common(shown)]
    return "; ".join(said) + (f"; and {len(counts) - shown} more" if len(counts) > shown else "")


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let one process at a time use a cache. The lock is released when the process ends, for any reason."""
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise InputError(
            f"preprocessed slices cannot be stored in {folder.parent} ({error.strerror}); name a writable folder with "
            "--cache_dir or PLANEWISE_CACHE"
        ) from error
    try:
        yield
    finally:
        lock.release()
