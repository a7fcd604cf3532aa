"""Test that the run's handler attaches the handlers that configs once listed, in the same order."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from planewise.engines import (
    BatchEvaluator,
    BatchTrainer,
    RunHandler,
    read_history,
)
from planewise.engines.batch_engines import BatchOutput
from planewise.errors import InputError
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader


class Squares(nn.Module):
    """A loss of one term."""

    last_terms = ()

    def forward(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return ((pred - label) ** 2).mean()


def setting(folder, scheduler=StepLR, items: int = 4, **settings) -> SimpleNamespace:
    network = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    schedule = (
        ReduceLROnPlateau(optimizer, patience=0) if scheduler is ReduceLROnPlateau else StepLR(optimizer, 1, gamma=0.5)
    )
    data = [{"image": torch.ones(1) * k, "label": torch.ones(1)} for k in range(4)]
    drawn: list[float] = []

    def prepare(batch, device=None, non_blocking=False, **_):
        drawn.append(float(torch.rand(1)))
        return batch["image"], batch["label"]

    evaluator = BatchEvaluator(
        device="cpu", val_data_loader=DataLoader(data[:items], 2), network=network, prepare_batch=prepare, amp=False
    )
    handler = RunHandler(
        output_dir=folder,
        ckpt_dir=folder / "models",
        network=network,
        loss=Squares(),
        optimizer=optimizer,
        evaluator=evaluator,
        lr_scheduler=schedule,
        **settings,
    )
    trainer = BatchTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=DataLoader(data, 2),
        network=network,
        optimizer=optimizer,
        loss_function=Squares(),
        train_handlers=[handler],
        amp=False,
    )
    return SimpleNamespace(handler=handler, trainer=trainer, evaluator=evaluator, optimizer=optimizer, drawn=drawn)


@pytest.mark.parametrize(("epoch_level", "rate"), [(True, 0.025), (False, 0.1 / 16)])
def test_a_run_validates_logs_and_writes(tmp_path, epoch_level, rate):
    run = setting(tmp_path, lr_epoch_level=epoch_level, val_interval=1)
    run.trainer.run()
    assert [row["epoch"] for row in read_history(tmp_path / "history.csv")] == [1, 2]
    assert run.evaluator.state.epoch == 2 and run.optimizer.param_groups[0]["lr"] == pytest.approx(rate)
    assert (tmp_path / "models/model.pt").is_file() and (tmp_path / "models/last.ckpt").is_file()
    assert list((tmp_path / "tensorboard").glob("events*"))
    # a pretext with random numbers draws the same ones in each validation
    assert run.drawn[:2] == run.drawn[2:] and run.drawn[0] != run.drawn[1]
    other = setting(tmp_path / "other", seed=1)
    other.trainer.run()
    assert other.drawn == run.drawn, "every run draws the same numbers"


def test_nothing_is_validated_between_intervals(tmp_path):
    run = setting(tmp_path, val_interval=2)
    validated = []
    run.evaluator.add_event_handler(Events.STARTED, lambda engine: validated.append(run.trainer.state.epoch))
    run.trainer.run()
    assert validated == [2]


@pytest.mark.parametrize(
    ("postprocessed", "given", "one_by_one"), [(False, None, False), (True, None, True), (True, False, False)]
)
def test_an_evaluator_with_a_postprocessing_takes_items_one_by_one(postprocessed, given, one_by_one):
    taken = []

    def keep(item):
        taken.append(item)
        return item

    evaluator = BatchEvaluator(
        device="cpu",
        val_data_loader=[{"image": torch.zeros(2, 1), "label": torch.zeros(2, 1)}],
        network=nn.Identity(),
        postprocessing=keep if postprocessed else None,
        decollate=given,
    )
    evaluator.run()
    assert [len(item["image"]) for item in taken] == ([1, 1] if one_by_one else [2] if postprocessed else [])
    assert type(evaluator.state.output) is (list if one_by_one else BatchOutput)


@pytest.mark.parametrize(
    ("length", "epoch_level", "fits"), [(3, False, False), (1, True, False), (4, False, True), (2, True, True)]
)
def test_one_cycle_that_is_too_short_is_refused_before_the_first_step(length, epoch_level, fits, tmp_path):
    made = setting(tmp_path, lr_epoch_level=epoch_level)
    made.handler.lr_scheduler = OneCycleLR(made.optimizer, 0.1, total_steps=length)
    with nullcontext() if fits else pytest.raises(InputError):
        made.handler.attach(made.trainer)
