"""Time of a training step at the papers' size on a GPU: the trainer with all handlers, the bare step, and the batches."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from monai.engines import SupervisedTrainer
from planewise.engines import allow_tf32, handlers
from planewise.workshop.phantoms import KNEE_LABELLED, KNEE_UNLABELLED, LABELLED, LAYOUTS, VOLUNTEERS, Recipe
from timing import Bar, Options, ratio
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from bars.trainer import (
    SLICES,
    BareEpoch,
    TrainerEpoch,
    bundle_config,
    in_turns,
    loss_of,
    own_batches,
    phantom_datalist,
    seconds,
)

#: A step of the papers' networks takes a minute on one core.
DEVICES = ("cuda",)
#: Largest ratio of the trainer's step to a bare step of the same network, loss and optimizer on one fixed batch.
LIMIT = 1.05


@dataclass(frozen=True)
class Case:
    """A bundle to measure."""

    bundle: str
    layout: str = "dsbcc"  # of the phantoms for training
    block: int = 10  # steps between two readings of the clock
    settings: Mapping[str, Any] = field(default_factory=dict)  # overrides, which the bar's name lists
    steps: int = 0  # of a training by the paper, whose time is compared with that of the case with compile false
    limit: float | None = None  # largest ratio of the two; without steps, largest time of a step, ms

    def __str__(self) -> str:
        changed = [f"{key.rpartition('#')[2]} {str(value).lower()}" for key, value in self.settings.items()]
        return ", ".join([self.bundle, *changed])


CASES = (
    Case("pretext_cardiac_multitask", settings={"compile": False}),
    Case("pretext_cardiac_multitask", settings={"compile": "auto"}, steps=16_000, limit=0.78),
    Case("pretext_cardiac_multitask", settings={"channels_last": False}),
    Case("pretext_cardiac_multitask", settings={"amp": False}),
    Case("pretext_cardiac_orientation"),
    Case("pretext_cardiac_location"),
    Case("pretext_cardiac_sax_position"),
    Case("pretext_cardiac_sax_position", settings={"compile": "cuda_graphs"}),
    Case("pretext_cardiac_lax_position", "ukbb"),
    Case("downstream_cardiac_sax_segmentation", "acdc", settings={"compile": False}),
    Case("downstream_cardiac_sax_segmentation", "acdc", settings={"compile": "auto"}, steps=400, limit=0.75),
    Case("downstream_cardiac_lax_segmentation", "ukbb"),
    Case("downstream_cardiac_two_phase_classification", "acdc"),
    Case("pretext_knee_multitask", "fastmri"),
    Case("pretext_knee_orientation", "fastmri"),
    Case("pretext_knee_location", "fastmri"),
    Case("downstream_knee_injury_classification", "mrnet"),
    Case("pretext_masked_autoencoder"),
    Case("pretext_models_genesis"),
    Case("pretext_jigsaw"),
    Case("pretext_jigsaw", settings={"compile": "cuda_graphs"}),
    Case("pretext_slice_order"),
    Case("pretext_simclr", block=4),
    Case("pretext_byol", block=4),
    Case("pretext_simsiam", block=4),
    Case("downstream_retinopathy_grading", "aptos"),
    Case("downstream_brain_tumour_segmentation", "brats", 4),
    Case("downstream_brain_tumour_segmentation", "brats", 4, {"channels_last": False}),
    Case("downstream_brain_tumour_segmentation", "brats", 4, {"norm": "instance", "compile": False}),
    Case("downstream_brain_tumour_segmentation", "brats", 4, {"norm": "instance", "compile": True}, limit=60),
    Case("downstream_pancreas_segmentation", "msd", 4),
    Case("pretext_rotation", "msd", 4),
    Case("pretext_relative_patch_location", "msd"),
    Case("pretext_contrastive_predictive_coding", "msd", 4),
    Case("pretext_exemplar", "msd", 4),
)
#: Phantoms by layout; the config determines the size of the images.
RECIPES = {
    "dsbcc": SLICES,
    "acdc": Recipe("acdc", 31, LABELLED.at_size("demo").with_values(phases=2)),
    "ukbb": Recipe("ukbb", 31, VOLUNTEERS.at_size("demo").with_values(phases=2)),
    "fastmri": Recipe("fastmri", 31, KNEE_UNLABELLED.at_size("demo")),
    "mrnet": Recipe("mrnet", 31, KNEE_LABELLED.at_size("demo")),
    **{layout: Recipe(layout, 31, LAYOUTS[layout].population) for layout in ("aptos", "brats", "msd")},
}
#: The smallest networks and images, to check that everything runs.
_QUICK = {"features": [4, 8, 16], "image_size": 48, "spacing": 5.8, "batch_size": 2}


def measure(options: Options) -> Iterator[Bar]:
    """The bars of each case: the time of the trainer's step; its ratio to the bare step; and the ratios to the trainer's step
    of the time to make a batch and, on a GPU, of the time of all kernels."""
    cases = CASES[:2] if options.quick else CASES
    datalists: dict[str, Path] = {}
    plain: dict[str, float] = {}  # time of a step without compilation, by the bundle, seconds
    with ExitStack() as stack:
        for case in (case for case in cases if options.wants(str(case))):
            if case.layout not in datalists:
                datalists[case.layout] = stack.enter_context(phantom_datalist(recipe=RECIPES[case.layout]))
            least = {name: max(0, getattr(handlers, name) - case.steps) for name in ("COMPILED", "RECORDED")}
            with patch.multiple(handlers, **least):  # a case itself has few steps
                bars, step, first = _of_case(case, datalists[case.layout], options)
            yield from bars
            if case.settings.get("compile") is False:
                plain[case.bundle] = step
            elif case.steps and case.bundle in plain:
                against = case.steps * plain[case.bundle]
                note = f"computed: {against:.0f} s, and {1e3 * step:.1f} ms a step after {first:.1f} s"
                name = f"{case}: {case.steps:,} steps / with compile false"
                yield Bar(name, (first + case.steps * step) / against, limit=case.limit, note=note)


def _of_case(case: Case, datalist: Path, options: Options) -> tuple[list[Bar], float, float]:
    """The bars of a case, the time of a step, and that of everything that is made only once, seconds."""
    device = torch.device(options.device)
    block = 2 if options.quick else case.block
    config = bundle_config(case.bundle, ("train.yaml",), datalist, options.device)
    changes = dict(case.settings) | (_QUICK if options.quick else {})
    config.update(changes)
    config.update({"samples_per_epoch": (2 * block + 1) * config["batch_size"], "log_interval": block})
    # the settings with which a run starts
    allow_tf32(device.type == "cuda")
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    trainer = config.get_parsed_content("train#trainer")
    if device.type == "cuda":
        gc.collect()  # frees the previous case, whose engine refers to itself
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    begun = seconds(device)
    trainer.run()  # everything that is made only once
    once = seconds(device) - begun
    batch = next(own_batches(trainer))

    def batches_alone() -> list[float]:
        """Mean time of a batch over an epoch, seconds, as a list of one."""
        begun = seconds(device)
        count = sum(1 for _ in own_batches(trainer))
        return [(seconds(device) - begun) / count]

    epochs = {
        "trainer": TrainerEpoch(trainer, block),
        "bare": BareEpoch(trainer, block, batches=lambda one: (batch for _ in range(one.state.epoch_length))),
        "path": batches_alone,
    }
    times = in_turns(epochs, options.fewer(3))
    with FlopCounterMode(display=False) as counter:
        loss_of(trainer, *batch).backward()
    tflop = counter.get_total_flops() / 1e12  # of a training step
    note = f"batch {config['batch_size']}"
    if device.type == "cuda":
        note += f", at most {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB"
    bare = f"bare step of {1e3 * times['bare'].least:.2f} ms, {tflop / times['bare'].least:.1f} TFLOP/s"
    step = times["trainer"]
    limit = None if case.steps or options.quick else case.limit
    bars = [
        Bar(f"{case}: training step", 1e3 * step.least, 1e3 * step.median, unit="ms", note=note, limit=limit),
        Bar(f"{case}: trainer / bare loop", *ratio(times, "trainer", "bare"), limit=LIMIT, note=bare),
        Bar(f"{case}: batch path / training step", *ratio(times, "path", "trainer")),
        *([_kernels(case, trainer, step.least)] if device.type == "cuda" else []),
    ]
    return bars, step.least, once - len(trainer.data_loader) * step.least


def _kernels(case: Case, trainer: SupervisedTrainer, step: float) -> Bar:
    """Share of a step in which the GPU computes; otherwise it waits for the host."""
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        trainer.run()
        torch.cuda.synchronize()
    # copies to the host belong to the checkpoint at the end of the epoch
    times = [
        event.time_range.elapsed_us()
        for event in found.events()
        if event.device_type == torch.autograd.DeviceType.CUDA and "DtoH" not in event.name
    ]
    each = sum(times) / trainer.state.epoch_length
    note = f"{len(times) / trainer.state.epoch_length:.0f} kernels, {each / 1e3:.2f} ms in total"
    return Bar(f"{case}: kernels / training step", each / 1e6 / step, note=note)
