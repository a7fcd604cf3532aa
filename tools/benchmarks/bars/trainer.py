"""Cost of MONAI's trainer and a bundle's handlers, in addition to the training step, and compared with plain PyTorch."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from planewise.engines import precision
from planewise.engines.handlers import epoch_sampler
from planewise.exams import index_folder, write_datalist
from planewise.files.text import read_yaml
from planewise.workshop.phantoms import LABELLED, UNLABELLED, Recipe, write_exams
from timing import Bar, Options, Times, ratio, repetitions
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).resolve().parents[3]
BUNDLES = ROOT / "bundles"
#: Largest ratio for the demo's network, which is about the smallest that learns something.
LIMIT = 1.08
#: Largest ratio of the demo's fine-tuning step to the same step in plain PyTorch.
PLAIN_LIMIT = 1.05
#: A network so small that the overhead stands out.
TINY = {"features": [4, 8, 16], "image_size": 48, "spacing": 5.8, "batch_size": 8}
#: Steps between two points of the training curve (``log_interval``), so that every timed block contains one point.
BLOCK, QUICK_BLOCK = 50, 3
#: Blocks per epoch.
BLOCKS = 4
#: Phantoms for the pretexts on hearts.
SLICES = Recipe("dsbcc", 31, UNLABELLED.at_size("demo").with_values(phases=2, spacing=(3.6, 4.2)))
#: Maps the layouts of phantoms other than hearts to what they show.
ANATOMIES = {"brats": "volume", "msd": "volume", "fastmri": "knee", "mrnet": "knee", "aptos": "photograph"}
#: Reads a clock once the device has finished its work.
Clock = Callable[[torch.device], float]


def measure(options: Options) -> list[Bar]:
    """Compare the multitask bundle, with its demo overlay and all its handlers, with a plain loop.

    The clock runs from the end of an epoch's first step to the end of its last step, without validation and checkpoints.
    The fastest block of steps counts, because a busy machine disturbs every epoch.
    """
    block = QUICK_BLOCK if options.quick else BLOCK
    bars = []
    with phantom_datalist(1 if options.quick else 6) as datalist:
        for size, settings in {"demo": TINY if options.quick else {}, "tiny": TINY}.items():
            config = bundle_config("pretext_cardiac_multitask", ("train.yaml", "demo.yaml"), datalist, options.device)
            config.update(settings)
            config.update({"samples_per_epoch": (BLOCKS * block + 1) * config["batch_size"], "log_interval": block})
            trainer = config.get_parsed_content("train#trainer")
            bars.append(_against_bare(trainer, size, block, options))
        bars.append(_waits(trainer, block))
    masks = Recipe("acdc", 31, LABELLED.at_size("demo").with_values(phases=2))
    with phantom_datalist(1 if options.quick else 4, masks) as datalist:
        bars.append(_against_plain(datalist, block, options))
    return bars


@contextmanager
def phantom_datalist(exams: int = 6, recipe: Recipe = SLICES) -> Iterator[Path]:
    """The datalist of a few phantom exams, all for training, in a temporary folder; the user's salt is not used."""
    with (
        tempfile.TemporaryDirectory(prefix="planewise-bars-") as name,
        patch.dict(os.environ, {"PLANEWISE_SALT_FILE": f"{name}/salt"}),
    ):
        folder = Path(name) / "exams"
        list(write_exams(recipe, folder, exams))
        anatomy = ANATOMIES.get(recipe.layout, "cardiac")
        view = "4ch" if recipe.layout == "ukbb" else None
        found = index_folder(folder, anatomy=anatomy, view=view, split=(1, 0, 0))
        write_datalist(found.datalist, folder / "datalist.json")
        yield folder / "datalist.json"


def parsed_config(bundle: str, *files: str) -> ConfigParser:
    return ConfigParser(ConfigParser.load_config_files([str(BUNDLES / bundle / "configs" / file) for file in files]))


def bundle_config(bundle: str, files: Sequence[str], datalist: Path, device: str) -> ConfigParser:
    """A bundle's training config without progress, resuming and validation; a run is one epoch."""
    config = parsed_config(bundle, *files)
    folder = datalist.parent.parent
    config.update({"datalist": str(datalist), "output_dir": str(folder / "run"), "cache_dir": str(folder / "cache")})
    config.update({"device": device, "amp": "auto", "num_workers": 0, "max_epochs": 1})
    config.update({"progress": False, "resume": False, "val_interval": 10**9})
    return config


def seconds(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def loss_of(trainer: SupervisedTrainer, image: Any, target: Any, args: Any = (), kwargs: Any = None) -> torch.Tensor:
    """The trainer's loss for a batch, which has the form of the output of MONAI's ``prepare_batch``."""
    return trainer.loss_function(trainer.inferer(image, trainer.network, *args, **(kwargs or {})), target)


def take_step(trainer: SupervisedTrainer, *batch: Any) -> None:
    """A training step of the trainer's network, loss and optimizer, without its engine."""
    trainer.optimizer.zero_grad()
    loss_of(trainer, *batch).backward()
    trainer.optimizer.step()


def own_batches(trainer: SupervisedTrainer) -> Iterator[tuple[Any, ...]]:
    """An epoch of the trainer's batches, taken from its sampler and data set by hand."""
    loader = trainer.data_loader
    epoch_sampler(loader).set_epoch(1)
    for rows in loader.batch_sampler:
        yield trainer.prepare_batch(loader.dataset.__getitems__(rows), trainer.state.device, trainer.non_blocking)


class TrainerEpoch:
    """Each call runs a trainer for an epoch, which consists of one step, followed by blocks of ``block`` steps, and returns
    the mean time of a step in every block, by the clock."""

    def __init__(self, trainer: Engine, block: int, clock: Clock = seconds) -> None:
        self.trainer, self.block, self.clock = trainer, block, clock
        self._readings: list[float] = []
        trainer.add_event_handler(Events.ITERATION_COMPLETED(event_filter=self._ends_block), self._read)

    def _ends_block(self, engine: Engine, iteration: int) -> bool:
        return iteration % self.block == 1

    def _read(self, engine: Engine) -> None:
        self._readings.append(self.clock(engine.state.device))

    def __call__(self) -> list[float]:
        self._readings.clear()
        self.trainer.run()
        return _differences(self._readings, self.block)


@dataclass
class BareEpoch:
    """`TrainerEpoch` without engine, loader and handlers: the same network, loss and optimizer in a plain loop. ``batches``
    yields the image and target of every step."""

    trainer: SupervisedTrainer
    block: int
    clock: Clock = seconds
    batches: Callable[[SupervisedTrainer], Iterator[tuple[Any, ...]]] = own_batches

    def __call__(self) -> list[float]:
        readings = []
        self.trainer.network.train()
        for iteration, batch in enumerate(self.batches(self.trainer), start=1):
            take_step(self.trainer, *batch)
            if iteration % self.block == 1:
                readings.append(self.clock(self.trainer.state.device))
        return _differences(readings, self.block)


def in_turns(candidates: Mapping[str, Callable[[], list[float]]], options: Options) -> dict[str, Times]:
    """Like `timing.interleaved`, for candidates that time themselves; the first call of each candidate is not counted."""
    times = {name: Times() for name in candidates}
    for call in candidates.values():
        call()
    for _ in repetitions(options):
        for name, call in candidates.items():
            times[name].seconds += call()
    return times


def _differences(readings: Sequence[float], block: int) -> list[float]:
    return [(after - before) / block for before, after in zip(readings[:-1], readings[1:], strict=True)]


def _against_bare(trainer: SupervisedTrainer, size: str, block: int, options: Options) -> Bar:
    epochs = {"trainer": TrainerEpoch(trainer, block), "bare": BareEpoch(trainer, block)}
    times = in_turns(epochs, options.fewer(3))
    more = 1e6 * (times["trainer"].least - times["bare"].least)
    return Bar(
        f"trainer with all handlers / bare loop, {size} network",
        *ratio(times, "trainer", "bare"),
        limit=LIMIT if size == "demo" else None,
        note=f"step of {1e3 * times['bare'].least:.2f} ms, {more:.0f} us difference; {BLOCKS * block} steps per epoch",
    )


def _against_plain(datalist: Path, block: int, options: Options) -> Bar:
    """The demo's fine-tuning, with augmentation and all handlers, against the same step in plain PyTorch on one batch."""
    bundle, device = "downstream_cardiac_sax_segmentation", torch.device(options.device)
    config = bundle_config(bundle, ("train.yaml", "demo.yaml"), datalist, options.device)
    demo = read_yaml(ROOT / "tools" / "studies" / "configs" / "quick.yaml")["overrides"]["finetune"]
    config.update({**demo, **(TINY if options.quick else {}), "val_interval": 10**9})
    config.update({"samples_per_epoch": (BLOCKS * block + 1) * config["batch_size"], "log_interval": block})
    config.update({"lr_scheduler#total_steps": 10**6})  # the schedule of one run; this trainer runs again and again
    trainer = config.get_parsed_content("train#trainer")
    network = PlainUNet(config["features"]).to(device, memory_format=torch.channels_last)
    mixed = precision("auto", device) == "bfloat16"

    def forward(image: Tensor, network: nn.Module) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            return network(image.to(memory_format=torch.channels_last))

    plain = SimpleNamespace(
        network=network,
        inferer=forward,
        loss_function=lambda output, label: cross_entropy(output.float(), label[:, 0].long()),
        optimizer=torch.optim.Adam(network.parameters(), config["learning_rate"], fused=True),
        state=trainer.state,
    )
    batch = next(own_batches(trainer))
    batches = [batch] * (BLOCKS * block + 1)
    # processor time, because other programs make one of the two wait
    clock = seconds if device.type == "cuda" else lambda _: time.process_time()
    epochs = {
        "trainer": TrainerEpoch(trainer, block, clock),
        "plain": BareEpoch(plain, block, clock, batches=lambda _: iter(batches)),
    }
    times = in_turns(epochs, options.fewer(3))
    return Bar(
        "the demo's fine-tuning: trainer with all handlers / plain PyTorch",
        *ratio(times, "trainer", "plain"),
        limit=PLAIN_LIMIT,
        note=f"plain step of {1e3 * times['plain'].least:.1f} ms, {'bfloat16' if mixed else 'float32'}",
    )


class PlainUNet(nn.Module):
    """The U-Net of the demo's fine-tuning without MONAI and planewise: a stem of 2 x 2 patches, two convolutions a level."""

    def __init__(self, features: Sequence[int], classes: int = 4) -> None:
        super().__init__()
        first, pairs = features[0], list(zip(features[:-1], features[1:], strict=True))
        self.stem = _normalised(nn.Conv2d(1, first, 2, 2))
        self.down = nn.ModuleList([_two(first, first), *(_two(fine, deep) for fine, deep in pairs)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(deep, fine, 2, 2) for fine, deep in pairs])
        self.join = nn.ModuleList([_two(2 * fine, fine) for fine, _ in pairs])
        self.unstem = nn.Sequential(*_normalised(nn.ConvTranspose2d(first, first, 2, 2)), nn.Conv2d(first, classes, 1))
        self.pool = nn.MaxPool2d(2)

    def forward(self, image: Tensor) -> Tensor:
        skips = [self.down[0](self.stem(image))]
        for level in self.down[1:]:
            skips.append(level(self.pool(skips[-1])))
        x = skips.pop()
        for up, join in zip(reversed(self.up), reversed(self.join), strict=True):
            x = join(torch.cat([skips.pop(), up(x)], dim=1))
        return self.unstem(x)


def _normalised(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU(inplace=True))


def _two(given: int, made: int) -> nn.Sequential:
    first, second = (nn.Conv2d(channels, made, 3, padding=1) for channels in (given, made))
    return nn.Sequential(*_normalised(first), *_normalised(second))


def _waits(trainer: SupervisedTrainer, block: int) -> Bar:
    """Number of times that the trainer makes the host wait for a result of the device, minus that number in the bare loop."""
    counts = {}
    for epoch in (TrainerEpoch, BareEpoch):
        with _Waits() as waits:
            counts[epoch] = sum(epoch(trainer, block, lambda device, waits=waits: waits.count)())
    more = (counts[TrainerEpoch] - counts[BareEpoch]) / BLOCKS
    return Bar(
        "waits for the device, trainer minus bare loop", more, unit="a step", note=f"one log every {block} steps"
    )


class _Waits(TorchDispatchMode):
    """Counts the operations that would make the host wait for their result if they ran on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "masked_select", "equal")
        return func(*args, **(kwargs or {}))
