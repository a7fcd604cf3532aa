"""Measure a training's time per slice, volume or photograph on this device, with real steps on phantoms."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from planewise.engines import allow_tf32


def seconds_per_slice(config: ConfigParser, datalist: Path, device: str, steps: int = 20, warmup: int = 5) -> float:
    """Time training steps with data, augmentation, network, loss and optimizer, but without handlers.

    Args:
        config: config of a bundle as a study runs it; this function changes it.
        datalist: the datalist to train on.
        device: device to train on, such as ``"cpu"`` or ``"cuda:0"``.
        steps: number of timed steps.
        warmup: number of untimed steps before them, at least one.

    Returns:
        Median time of a step divided by its number of slices, volumes or photographs, seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        changes = {
            "datalist": str(datalist),
            "output_dir": folder,
            "cache_dir": folder,
            "device": device,
            "pretrained": None,
            "imagenet": None,
            "num_subjects": None,
            "progress": False,
            "writes": False,
            "max_epochs": 1,
            "samples_per_epoch": int(config["batch_size"]) * (warmup + steps),
            "train::handlers": [],
        }
        for name, value in changes.items():
            if "::" in name or name in config:
                config[name] = value
        allow_tf32(config["tf32"])
        trainer = config.get_parsed_content("train#trainer")
        ends, slices = [], []

        @trainer.on(Events.ITERATION_COMPLETED)
        def note(engine: Engine) -> None:
            if torch.device(device).type == "cuda":
                torch.cuda.synchronize(device)
            ends.append(time.perf_counter())
            count, channels = engine.state.batch["image"].shape[:2]
            # the channels of a stack are its slices; the channels of a volume or a photograph are contrasts or colours
            slices.append(count if "in_channels" in config else count * channels)

        trainer.run()
    marks = zip(ends[warmup - 1 :], ends[warmup:], slices[warmup:], strict=False)
    return statistics.median((end - start) / count for start, end, count in marks)
