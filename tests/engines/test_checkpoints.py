from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from planewise.engines import CheckpointHandler
from planewise.errors import InputError


class Run:
    """Ten lines of training: a linear layer, an optimiser with state, a schedule, a validation score per epoch."""

    def __init__(
        self,
        folder,
        scores=(3.0, 1.0, 2.0, 4.0),
        validated: bool = True,
        resume: bool = True,
        width: int = 2,
        every: int = 1,
    ):
        torch.manual_seed(0)
        self.network = torch.nn.Linear(width, 1)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 0.1)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 1, 0.5)
        self.evaluator = Engine(lambda engine, batch: None)
        self.evaluator.state.best_metric, self.evaluator.state.best_metric_epoch = -1, -1
        self.trainer = Engine(self.step)
        self.trainer.state.device = "cpu"
        self.epochs: list[int] = []
        self.width = width

        @self.trainer.on(Events.EPOCH_COMPLETED)
        def end_of_epoch(engine):
            self.epochs.append(engine.state.epoch)
            self.schedule.step()
            score = scores[engine.state.epoch - 1]
            best = self.evaluator.state
            if (
                validated
                and engine.state.epoch % every == 0
                and (best.best_metric_epoch == -1 or score < best.best_metric)
            ):
                best.best_metric, best.best_metric_epoch = score, engine.state.epoch

        CheckpointHandler(
            folder, self.network, self.optimizer, self.schedule, self.evaluator if validated else None, resume
        ).attach(self.trainer)

    def step(self, engine, batch):
        torch.manual_seed(engine.state.iteration)
        self.optimizer.zero_grad()
        self.network(torch.rand(4, self.width)).square().mean().backward()
        self.optimizer.step()

    def go(self, epochs: int) -> dict[str, torch.Tensor]:
        self.trainer.run(range(5), max_epochs=epochs)
        return {name: value.clone() for name, value in self.network.state_dict().items()}


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_an_interrupted_run_ends_like_an_unbroken_one(tmp_path):
    unbroken = Run(tmp_path / "a").go(4)
    Run(tmp_path / "b").go(2)
    second = Run(tmp_path / "b")
    resumed = second.go(4)
    assert same(unbroken, resumed)
    assert second.epochs == [3, 4]
    for name in ("model.pt", "last.pt"):
        one, other = (torch.load(tmp_path / run / name, weights_only=True) for run in "ab")
        assert same(one.get("network", one), other.get("network", other))


def test_the_best_epochs_weights_are_kept_across_a_break(tmp_path):
    whole = Run(tmp_path)
    best = whole.go(2)  # the second epoch has the lowest score
    Run(tmp_path).go(4)
    assert same(torch.load(tmp_path / "model.pt", weights_only=True), best)


def test_a_break_before_the_first_validation_does_not_pass_for_one(tmp_path):
    """An epoch without validation is kept for want of better, and given up for the first that has a score."""
    unbroken = Run(tmp_path / "a", every=2)
    unbroken.go(4)
    Run(tmp_path / "b", every=2).go(1)
    Run(tmp_path / "b", every=2).go(4)
    one, other = (torch.load(tmp_path / run / "model.pt", weights_only=True) for run in "ab")
    assert same(one, other)


def test_without_validation_the_last_is_the_best(tmp_path):
    last = Run(tmp_path, validated=False).go(3)
    assert same(torch.load(tmp_path / "model.pt", weights_only=True), last)


def test_a_finished_run_is_not_trained_further(tmp_path):
    done = Run(tmp_path).go(3)
    again = Run(tmp_path)
    assert same(again.go(3), done) and again.epochs == []


def test_starting_over(tmp_path):
    Run(tmp_path).go(2)
    again = Run(tmp_path, resume=False)
    again.go(2)
    assert again.epochs == [1, 2]


def test_another_network_is_explained(tmp_path):
    Run(tmp_path).go(1)
    with pytest.raises(InputError, match="another network; `--resume false`"):
        Run(tmp_path, width=3).go(2)


def test_a_write_that_fails_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch):
    Run(tmp_path).go(1)
    before = (tmp_path / "last.pt").read_bytes()

    def full(content, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match="No space left"):
        Run(tmp_path).go(2)
    assert (tmp_path / "last.pt").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", "model.pt"}
