"""Time to prepare a batch for each method that Zhang 2024 compares with, as a share of the method's own training step."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from monai.bundle import ConfigParser
from timing import Bar, Options, interleaved, ratio

from bars.trainer import bundle_config, phantom_datalist, take_step

BUNDLES = (
    "pretext_slice_order",
    "pretext_jigsaw",
    "pretext_simclr",
    "pretext_byol",
    "pretext_masked_autoencoder",
    "pretext_models_genesis",
)
#: Largest ratio of a batch's preparation to a training step, at the paper's size.
LIMIT = 0.05
#: Settings for a CPU, where a step of the paper's size takes a minute on one core. A slice costs the same in a small batch.
SMALL_BATCH = {"batch_size": 2}
QUICK = {"features": [4, 8], "image_size": 48, "spacing": 5.8, "batch_size": 2}


def measure(options: Options) -> list[Bar]:
    """Divide the time from indices to the network's input and target, including all random transforms, by the time of the
    training step: forward pass, loss, backward pass and optimiser."""
    bars = []
    with phantom_datalist(1 if options.quick else 2) as datalist, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for bundle in BUNDLES:
            for size, files in {"paper": ("train.yaml",), "demo": ("train.yaml", "demo.yaml")}.items():
                config = bundle_config(bundle, files, datalist, options.device)
                if size == "paper" and torch.device(options.device).type == "cpu":
                    config.update(SMALL_BATCH)
                if options.quick:
                    config.update(QUICK)
                bars.append(_path_of_step(config, bundle, size, options))
    return bars


def _path_of_step(config: ConfigParser, bundle: str, size: str, options: Options) -> Bar:
    trainer = config.get_parsed_content("train#trainer")
    device, dataset = torch.device(options.device), trainer.data_loader.dataset
    trainer.network.train()
    rows = next(iter(trainer.data_loader))["index"].tolist()

    def batch() -> tuple[Any, Any]:
        return trainer.prepare_batch(dataset.__getitems__(rows), device, True)

    prepared = batch()
    slow = size == "paper" and device.type == "cpu" and not options.quick
    times = interleaved(
        {"batch": batch, "step": lambda: take_step(trainer, *prepared)},
        options.fewer(3 if slow else 1),
        warmup=1 if slow else 2,
    )
    note = f"batch {times['batch'].least * 1e3:.2f} ms, step {times['step'].least * 1e3:.1f} ms, {len(rows)} slices"
    limit = LIMIT if size == "paper" and device.type == "cpu" else None
    return Bar(f"{bundle}, {size}: batch / training step", *ratio(times, "batch", "step"), limit=limit, note=note)
