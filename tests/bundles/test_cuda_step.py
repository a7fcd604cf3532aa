"""Test that a training step of every bundle never makes the host wait for the GPU.

Without a GPU, `tests.cuda_stand_in` refuses every operation of the step that CUDA would refuse or that would make the
host wait.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from planewise.data import StackDataset, TwoPhaseDataset, to_device

from tests.bundles.conftest import TRAINED, tiny
from tests.conftest import ROOT
from tests.cuda_stand_in import WITHOUT_VALUES, as_on_a_gpu
from tests.kinds import others_slow


def trainer_on(device: torch.device, name: str, datalists: dict[str, Path], folder: Path, **changes):
    config = ConfigParser(ConfigParser.load_config_file(str(ROOT / "bundles" / name / "configs" / "train.yaml")))
    settings = tiny(name) | {
        "datalist": str(datalists[name]),
        "cache_dir": str(datalists[name].parent / "cache"),
        "output_dir": str(folder),
        "device": device,
        "num_workers": 0,
        "writes": False,
    }
    config.update({key: value for key, value in settings.items() if key in config} | changes)
    torch.manual_seed(0)
    trainer = config.get_parsed_content("train#trainer")
    trainer.network.train()
    trainer.fire_event(Events.EPOCH_STARTED)
    return trainer


def step(trainer, batches) -> None:
    """Run one iteration of the engine, including its handlers."""
    trainer.state.iteration += 1
    trainer.fire_event(Events.ITERATION_STARTED)
    trainer.state.batch = next(batches)
    trainer.state.output = trainer._iteration(trainer, trainer.state.batch)
    trainer.fire_event(Events.ITERATION_COMPLETED)


def kept_slices(trainer):
    """The dataset that holds the arrays; datasets of volumes and of pairs of phases take their rows from it."""
    dataset = trainer.data_loader.dataset
    return dataset.slices if isinstance(dataset, (StackDataset, TwoPhaseDataset)) else dataset


@pytest.mark.parametrize("name", others_slow(TRAINED))
def test_a_step_without_values(name, datalists, tmp_path):
    trainer = trainer_on(WITHOUT_VALUES, name, datalists, tmp_path)
    kept = kept_slices(trainer)
    assert next(trainer.network.parameters()).device == WITHOUT_VALUES
    step(trainer, iter(trainer.data_loader))  # created once, before the measured step
    # test memory-mapped rows, which pass through pinned memory, and then rows that stay on the device
    kept._targets.update({key: array.to(WITHOUT_VALUES) for key, array in kept._targets.items()})
    kept._arrays.device = WITHOUT_VALUES
    kept._arrays.resident = False
    with as_on_a_gpu():
        step(trainer, iter(trainer.data_loader))
    kept._arrays._arrays.update({key: array.to(WITHOUT_VALUES) for key, array in kept._arrays._arrays.items()})
    kept._arrays.resident = True
    with as_on_a_gpu():
        step(trainer, iter(trainer.data_loader))
    assert trainer.state.output["loss"].device == WITHOUT_VALUES


@pytest.mark.gpu
@pytest.mark.parametrize("resident", [True, False], ids=["kept on the GPU", "memory-mapped"])
@pytest.mark.parametrize("name", TRAINED)
def test_a_step_on_a_gpu(name, resident, datalists, tmp_path, monkeypatch):
    monkeypatch.setattr(to_device, "SHARE", 0.5 if resident else 0.0)
    trainer = trainer_on(torch.device("cuda"), name, datalists, tmp_path)
    assert kept_slices(trainer)._arrays.resident is resident
    for _ in range(2):  # created once, before the measured step
        step(trainer, iter(trainer.data_loader))
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(trainer, iter(trainer.data_loader))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert trainer.state.batch["image"].device.type == "cuda"
    assert torch.isfinite(trainer.state.output["loss"]).all()
