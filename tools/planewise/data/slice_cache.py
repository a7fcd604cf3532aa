"""Preprocessed images in memory-mapped arrays, built once and shared by all runs that need the same images."""

from __future__ import annotations

import enum
import gc
import hashlib
import inspect
import json
import logging
import os
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from monai.transforms import Compose, Randomizable, RandomizableTrait
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from planewise.cores import own_cores
from planewise.errors import InputError, causes
from planewise.files.atomic_write import atomic_write, unwritable
from planewise.files.checksum import code_sha256
from planewise.files.masks import labels_of
from planewise.files.text import read_json
from planewise.words import some_of

logger = logging.getLogger(__name__)

PENDING, DONE, REFUSED = 0, 1, 2
#: Keys of an item that determine which pixels are read and how. Planes and location do not affect a cache.
_READ_KEYS = (
    "image", "frame", "time", "affine", "label", "label_frame", "label_axes", "label_map", "label_origin",
)  # fmt: skip
#: Subpackages whose code makes the rows of a cache.
ROOMS = ("data", "files", "geometry", "preprocessing")
#: Packages that compute the rows, with the names of their modules. A cache depends on their versions.
_PACKAGES = {"monai": "monai", "torch": "torch", "numpy": "numpy", "scipy": "scipy", "itk-core": "itk",
             "nibabel": "nibabel", "pillow": "PIL"}  # fmt: skip


class Kind(NamedTuple):
    """What the rows of a cache are."""

    noun: str
    shape: str
    """The shape after preprocessing, for messages."""
    fits: Callable[[np.ndarray], bool]
    """Whether an array is image-like, so that it is a row to store (of a slice, without its last axis)."""
    items_per_worker: int
    """Minimum number of items per extra process: a volume costs as much as a hundred slices, a photograph as ten."""

    def __reduce__(self) -> str:
        """The name of the global that a started process, which gets no copy of the parent, takes."""
        return self.noun.upper()


SLICE = Kind("slice", "(channels, i, j, 1)", lambda array: array.ndim == 4 and array.shape[3] == 1, 16)
VOLUME = Kind("volume", "(channels, i, j, k)", lambda array: array.ndim == 4 and min(array.shape[1:]) > 1, 2)
PHOTOGRAPH = Kind("photograph", "(channels, i, j)", lambda array: array.ndim == 3, 4)


def default_cache_dir() -> Path:
    """``$PLANEWISE_CACHE``, or ``planewise`` in the user's cache folder. The folder may be deleted at any time."""
    named = os.environ.get("PLANEWISE_CACHE")
    return Path(named or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "planewise")


class SliceCache:
    """The results of a transform on all items: one read-only array per key, ``cache.arrays[key]``, with a row per item.

    Images are stored as float16 and masks as uint8, in memory-mapped files, so a cache may be larger than the memory. The
    folder's name is a hash of everything on which the cache depends (`fingerprint`). Worker processes build the cache, while
    other processes that need it wait. An interrupted build is resumed, and a cache with broken files is built again.

    Items that the transform refuses are left out; the log gives their number and the reasons.

    Args:
        items: items of a datalist, one for each row; ``kept`` are the rows that are not left out.
        transform: MONAI transforms from an item to tensors.
        cache_dir: folder that contains all caches.
        label_keys: keys of masks.
        num_workers: processes that build the cache; 0 builds it in this process.
        progress: show a progress bar.
        kind: what the rows are.

    Raises:
        InputError: the transform is random, every item was refused, or the folder is not writable.
    """

    def __init__(
        self,
        items: Sequence[dict[str, Any]],
        transform: Callable[[dict[str, Any]], dict[str, Any]],
        cache_dir: str | Path,
        label_keys: Sequence[str] = ("label",),
        num_workers: int | None = None,
        progress: bool = True,
        kind: Kind = SLICE,
    ) -> None:
        self.items = list(items)
        self.transform = transform
        self.label_keys = tuple(label_keys)
        self.num_workers = min(8, own_cores()) if num_workers is None else num_workers
        self.progress = progress
        self.kind = kind
        self.arrays: dict[str, torch.Tensor] = {}
        self.kept: list[int] = []
        if not self.items:
            return
        _refuse_random(transform)
        depends_on = fingerprint(self.items, transform) | {"masks": list(self.label_keys)}
        key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:20]
        self.folder = Path(cache_dir).expanduser() / key
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            # released when the process ends, for any reason
            lock = FileLock(self.folder.with_suffix(".lock")).acquire()
        except OSError as error:
            raise unwritable(self.folder.parent, error) from error
        with lock:
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
            logger.warning("%d of %d %ss left out: %s", len(refused), len(self.items), kind.noun, in_a_line(refused))

    def _open(self) -> list[tuple[str, str]]:
        """Memory-map the arrays, and return the exam of each refused item and the reason."""
        complete = read_json(self.folder / "complete")
        arrays = {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in complete["arrays"]}
        self.kept = np.flatnonzero(arrays.pop("state") == DONE).tolist()
        # the writable mode "c" cannot be used: Linux refuses it if the file is larger than the memory
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            self.arrays = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return complete["refused"]

    def _build(self, depends_on: dict[str, Any]) -> None:
        with atomic_write(self.folder / "depends_on.json") as part:
            part.write_text(json.dumps(depends_on, indent=1))
        arrays = {path.stem: np.load(path, mmap_mode="r+") for path in self.folder.glob("*.npy")}
        if "state" not in arrays:
            arrays |= self._allocate({"state": np.array(PENDING, dtype=np.uint8)})
        state, noun = arrays["state"], self.kind.noun
        # refused items are tried again, because the cause may have been fixed and the log needs the reasons
        todo = np.flatnonzero(state != DONE).tolist()
        loader = DataLoader(
            _Preprocessed(self, [self.items[index] for index in todo]),
            batch_size=None,
            num_workers=min(self.num_workers, len(todo) // self.kind.items_per_worker),
            collate_fn=as_batch,
            worker_init_fn=_leave_the_parents_objects,
            # without its own generator, building a cache would change the network's initial weights
            generator=torch.Generator(),
        )
        refused: list[tuple[str, str]] = []
        if todo and not self.progress:
            logger.info("preprocessing %d %ss once; later runs read them from the cache", len(todo), noun)
        bar = tqdm(loader, total=len(todo), desc="preprocessing", unit=noun, disable=not self.progress)
        for index, result in zip(todo, bar, strict=True):
            exam = str(self.items[index].get("exam", "?"))
            if isinstance(result, str):
                refused.append((exam, result))
                state[index] = REFUSED
                continue
            if not arrays.keys() >= result.keys():
                arrays |= self._allocate({name: value for name, value in result.items() if name not in arrays})
            for name, value in result.items():
                if arrays[name].shape[1:] != value.shape:
                    raise InputError(
                        f"exam {exam}: {name} has {value.shape}, others {arrays[name].shape[1:]}; end in ResizeWithPadOrCropd"
                    )
                arrays[name][index] = value
            state[index] = DONE
        if not (state == DONE).any():
            shutil.rmtree(self.folder, ignore_errors=True)
            raise InputError(f"none of the {len(self.items)} {noun}s can be used: {in_a_line(refused)}")
        for array in arrays.values():
            array.flush()
        with atomic_write(self.folder / "complete") as part:
            part.write_text(json.dumps({"refused": refused, "arrays": sorted(arrays)}))

    def _allocate(self, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Allocate an array of zeros on the disk for each entry, with a row for every item, completely or not at all."""
        arrays = {}
        for name, value in like.items():
            partial_file = self.folder / f"{name}.part"
            shape = (len(self.items), *value.shape)
            try:
                arrays[name] = np.lib.format.open_memmap(partial_file, mode="w+", dtype=value.dtype, shape=shape)
                # if the disk were full, writing to a sparse file would end the process with SIGBUS
                with open(partial_file, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, partial_file.stat().st_size)
            except OSError as error:
                partial_file.unlink(missing_ok=True)
                raise unwritable(self.folder, error) from error
            os.replace(partial_file, self.folder / f"{name}.npy")
        return arrays


def _refuse_random(transform: Callable) -> None:
    """Raise `InputError` if a step of a transform is random."""
    # a Compose counts as random in MONAI; its subclasses, such as OneOf, are
    steps = transform.flatten().transforms if type(transform) is Compose else [transform]
    random = [type(step).__name__ for step in steps if isinstance(step, (Randomizable, RandomizableTrait))]
    if random:
        raise InputError(
            f"the preprocessing is cached, so its random {', '.join(random)} must move to train#augmentation or train#pretext"
        )


def _leave_the_parents_objects(worker: int) -> None:
    """Otherwise, a forked worker frees its parent's process group, and waits for threads that it does not have."""
    gc.freeze()


class _Preprocessed(Dataset):
    """For each item, the arrays to store, or the reason why the item is refused."""

    def __init__(self, cache: SliceCache, items: Sequence[dict[str, Any]]) -> None:
        self.items, self.transform, self.label_keys, self.kind = items, cache.transform, cache.label_keys, cache.kind

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, np.ndarray] | str:
        try:
            return self._stored(self.transform(dict(self.items[index])))
        except (RuntimeError, ValueError) as error:
            # MONAI's Compose wraps a transform's error in its own, "applying transform ..."; a Compose may contain another
            reason = next((each for each in causes(error) if isinstance(each, (ValueError, OSError))), None)
            if reason is None:
                raise
            return str(reason)

    def _stored(self, result: dict[str, Any]) -> dict[str, np.ndarray]:
        """The tensors of an item as arrays, because tensors would need a file handle each on their way from a worker."""
        stored, exam = {}, result.get("exam", "?")
        for name, value in result.items():
            if not isinstance(value, torch.Tensor):
                continue
            array = np.asarray(value)
            if self.kind.fits(array):
                row = array[..., 0] if self.kind is SLICE else array
                stored[name] = labels_of(row) if name in self.label_keys else row.astype(np.float16)
            elif array.ndim > 3 or name in ("image", *self.label_keys):
                raise InputError(
                    f"exam {exam}: {name} has shape {array.shape}, not that of a {self.kind.noun}, {self.kind.shape}"
                )
            else:
                stored[name] = array
        stored["affine"] = np.asarray(result["image"].affine, dtype=np.float64)
        return stored


def as_batch(batch: Any) -> Any:
    """Return the batch unchanged: a collate function for datasets that return whole batches, which MONAI's would refuse."""
    return batch


def in_a_line(refused: Sequence[tuple[str, str]]) -> str:
    """The most frequent reasons with their counts and their first exam, in one line, from the exam of each item that is left
    out and the reason, which usually begins with the exam's name."""
    reasons = [(text.removeprefix(f"exam {exam}").lstrip(":, "), exam) for exam, text in refused]
    counts, first = Counter(reason for reason, _ in reasons), dict(reversed(reasons))
    return some_of([f"{reason} ({count}, such as exam {first[reason]})" for reason, count in counts.most_common()])


def fingerprint(items: Sequence[Mapping[str, Any]], transform: Callable) -> dict[str, Any]:
    """Everything that determines the result of ``transform`` on ``items``, as text that a person can compare.

    Files are represented by their size and modification time, so a mask that was drawn again is read again.
    """
    stamps = hashlib.sha256()
    for path in sorted({file for item in items for key in ("image", "label") for file in _files(item.get(key, []))}):
        try:
            status = os.stat(path)
            stamps.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
        except OSError:
            stamps.update(f"{path} missing\n".encode())
    read = [{key: item[key] for key in _READ_KEYS if key in item} for item in items]
    return {
        "slices": len(items),
        "items": hashlib.sha256(json.dumps(read, sort_keys=True, default=str).encode()).hexdigest(),
        "files": stamps.hexdigest(),
        "transform": describe(transform),
        "code": code_sha256(ROOMS),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def _files(value: Any) -> list[str]:
    """The files of an image: a single file, or a file for each channel or slice."""
    if isinstance(value, Mapping):
        return [str(value["image"])]
    return [path for entry in value for path in _files(entry)] if isinstance(value, (list, tuple)) else [str(value)]


def describe(value: Any) -> Any:
    """Describe a transform, or any value in it, as plain JSON that is the same in every process: its class and settings."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return np.asarray(value).tolist()
    if isinstance(value, Mapping):
        return {str(key): describe(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [describe(entry) for entry in value]
    if isinstance(value, partial):
        return [describe(part) for part in (value.func, value.args, value.keywords)]
    if inspect.isroutine(value) or inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__} {_code_of(value)}"
    if not hasattr(value, "__dict__") or isinstance(value, enum.Enum):
        return repr(value)  # numbers, texts, types and devices
    # a subclass from elsewhere uses the code of its bases; `R` is the state of MONAI's random numbers
    settings = {name: entry for name, entry in vars(value).items() if not name.startswith("_") and name != "R"}
    return {"class": [describe(base) for base in type(value).__mro__[:-1]]} | describe(settings)


def _code_of(value: Any) -> str:
    """The code of a user's own class or function, such as a config's lambda; empty for libraries and this package."""
    # the package's folder has its name, which differs in a packaged bundle
    known = {*_PACKAGES.values(), *sys.stdlib_module_names, Path(__file__).parents[1].name}
    if str(value.__module__).partition(".")[0] in known:
        return ""
    return inspect.getsource(value) if inspect.isclass(value) else _compiled(getattr(value, "__code__", None))


def _compiled(code: Any) -> str:
    """Describe compiled code as text that is the same in every process."""
    if isinstance(code, frozenset):
        return repr(sorted(map(repr, code)))
    if not inspect.iscode(code):
        return repr(code)
    return f"{code.co_code.hex()} {code.co_names} [{', '.join(map(_compiled, code.co_consts))}]"
