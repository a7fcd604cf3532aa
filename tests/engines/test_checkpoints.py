from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time

import pytest
import torch
from ignite.engine import Engine, Events
from monai.optimizers import WarmupCosineSchedule
from planewise.engines import CheckpointHandler
from planewise.engines.checkpoints import read_checkpoint
from planewise.errors import InputError

from tests.conftest import ROOT
from tests.processes import in_processes
from tests.quick_python import quick_python


class Run:
    """A short training: a linear layer, an optimiser with state, a schedule, and a validation score per epoch."""

    def __init__(
        self,
        folder,
        scores=(3.0, 1.0, 2.0, 4.0),
        validated: bool = True,
        resume: bool | str = True,
        width: int = 2,
        every: int = 1,
        interval: float = 0,
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
            if not validated or engine.state.epoch % every:
                return
            score = scores[engine.state.epoch - 1]
            best = self.evaluator.state
            best.epoch, best.key_metric_name, best.metrics = engine.state.epoch, "val_score", {"val_score": score}
            if best.best_metric_epoch == -1 or score < best.best_metric:
                best.best_metric, best.best_metric_epoch = score, engine.state.epoch

        self.handler = CheckpointHandler(
            folder,
            self.network,
            self.optimizer,
            self.schedule,
            self.evaluator if validated else None,
            resume,
            interval=interval,
        )
        self.handler.attach(self.trainer)

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
    one, other = (torch.load(tmp_path / run / "model.pt", weights_only=True) for run in "ab")
    assert same(one, other)
    one, other = (read_checkpoint(tmp_path / run) for run in "ab")
    assert same(one["network"], other["network"])
    told = ("lr_scheduler", "epoch", "best_metric", "best_metric_epoch")
    assert {key: one[key] for key in told} == {key: other[key] for key in told}


@pytest.mark.parametrize("run", [{"validated": False}, {"every": 9}])
def test_a_run_without_a_validation_keeps_the_last_epoch(run, tmp_path):
    last = Run(tmp_path, **run).go(2)
    assert same(torch.load(tmp_path / "model.pt", weights_only=True), last)


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize(
    ("scores", "best"), [((3.0, 2.0, 1.0, 4.0), 3), ((1.0, 3.0, 2.0, 4.0), 1), ((2.0, -float("inf"), 3.0, 4.0), 1)]
)
def test_after_a_break_an_epoch_is_best_if_it_beats_those_before_it(scores, best, stop, tmp_path):
    wanted = Run(tmp_path / "a", scores).go(best)
    Run(tmp_path / "b", scores).go(stop)
    Run(tmp_path / "b", scores).go(4)
    assert same(torch.load(tmp_path / "b/model.pt", weights_only=True), wanted)
    last = torch.load(tmp_path / "b/last.ckpt", weights_only=True)
    assert (last["best_metric"], last["best_metric_epoch"]) == (scores[best - 1], best)


def test_another_network_is_explained(tmp_path):
    Run(tmp_path).go(1)
    with pytest.raises(InputError):
        Run(tmp_path, width=3).go(2)


class Cycled:
    """A training whose learning rate follows one cycle over all steps; the processes share the steps of an epoch."""

    def __init__(self, folder, length: int, epochs: int = 4, cosine: bool = False) -> None:
        torch.manual_seed(0)
        network = torch.nn.Linear(2, 1)
        self.optimizer = torch.optim.Adam(network.parameters(), 0.1)
        steps = epochs * length
        schedule = (
            WarmupCosineSchedule(self.optimizer, 2, steps)
            if cosine
            else torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 0.1, total_steps=steps)
        )
        self.rates: dict[int, tuple[float, float]] = {}
        self.trainer = Engine(lambda engine, batch: self.optimizer.step())
        self.trainer.state.device = "cpu"
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: schedule.step())
        self.trainer.add_event_handler(Events.ITERATION_COMPLETED, self.note)
        CheckpointHandler(folder, network, self.optimizer, schedule, lr_epoch_level=False).attach(self.trainer)
        self.length = length

    def note(self, engine) -> None:
        (group,) = self.optimizer.param_groups
        self.rates[engine.state.iteration] = (group["lr"], group["betas"][0])

    def go(self, epochs: int) -> dict[int, tuple[float, float]]:
        self.trainer.run(range(self.length), max_epochs=epochs)
        return self.rates


@pytest.mark.parametrize("cosine", [False, True])
def test_a_finished_run_goes_on_along_the_schedule_of_a_longer_one(cosine, tmp_path):
    Cycled(tmp_path / "a", 3, epochs=2, cosine=cosine).go(2)
    longer = Cycled(tmp_path / "a", 3, epochs=4, cosine=cosine).go(4)
    unbroken = Cycled(tmp_path / "b", 3, epochs=4, cosine=cosine).go(4)
    assert list(longer) == list(range(7, 13))
    assert all(rate == pytest.approx(unbroken[step]) for step, rate in longer.items())


def go_on(rank: int, folder: str) -> dict[str, torch.Tensor]:
    run = Run(folder)
    run.go(3)
    return {**run.network.state_dict(), "epochs": torch.tensor(run.epochs)}


def test_one_of_two_processes_writes_and_both_go_on(tmp_path):
    Run(tmp_path).go(1)
    (tmp_path / "last.7.tmp").write_bytes(b"of a run that was killed")
    one, other = in_processes(go_on, str(tmp_path))
    assert one["epochs"].tolist() == other["epochs"].tolist() == [2, 3] and same(one, other)
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "model.pt"}
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 3


@pytest.mark.parametrize("content", [b"half", "cut", {"network": {}}])
def test_a_broken_checkpoint_is_named_with_what_to_do(tmp_path, content):
    Run(tmp_path).go(1)
    last = tmp_path / "last.ckpt"
    whole = last.read_bytes()
    if isinstance(content, (dict, list)):
        torch.save(content, last)
    else:
        last.write_bytes(whole[:-300] if content == "cut" else content)
    with pytest.raises(InputError):
        Run(tmp_path).go(2)
    again = Run(tmp_path, resume=False)
    again.go(2)
    assert again.epochs == [1, 2]


def test_starting_over_takes_the_other_runs_checkpoint_away(tmp_path):
    """A run that starts over and is killed in its first epoch must not resume from what was there before."""
    Run(tmp_path).go(3)
    over = Run(tmp_path, resume=False)
    over.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        over.go(3)
    again = Run(tmp_path)
    again.go(3)
    assert again.epochs == [1, 2, 3]


@pytest.mark.parametrize("value", [float("nan"), -float("inf")])
def test_a_score_that_is_not_finite_is_not_the_best(tmp_path, value):
    """MONAI takes the first value as the best, and no later value can be better than NaN or infinity."""
    wanted = Run(tmp_path / "a").go(3)
    scores = (value, value, 2.0, 4.0)
    Run(tmp_path / "b", scores).go(1)
    Run(tmp_path / "b", scores).go(4)
    assert same(torch.load(tmp_path / "b/model.pt", weights_only=True), wanted)


def test_the_best_epochs_learner_is_kept_where_it_is_asked_for(tmp_path):
    for asked in (False, True):
        run = Run(tmp_path / str(asked))
        learner = torch.nn.Sequential(run.network, torch.nn.Linear(1, 1))
        handler = CheckpointHandler(
            tmp_path / str(asked),
            run.network,
            run.optimizer,
            evaluator=run.evaluator,
            learner=learner,
            best_learner=asked,
        )
        handler.attach(run.trainer)
        run.trainer.run([0], max_epochs=3)
        assert (tmp_path / str(asked) / "learner.ckpt").is_file() == asked
    kept = torch.load(tmp_path / "True/learner.ckpt", weights_only=True)
    best = torch.load(tmp_path / "True/model.pt", weights_only=True)
    assert torch.equal(kept["0.weight"], best["weight"]) and kept.keys() == learner.state_dict().keys()
    assert not torch.equal(kept["0.weight"], run.network.weight), "the second epoch was the best, not the last"


def test_the_state_of_a_loss_survives_a_break(tmp_path):
    """A queue of keys, or a centre, that a loss keeps; a loss without a state writes nothing."""

    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("steps", torch.zeros(()))

    class CountingRun(Run):
        def __init__(self, folder):
            super().__init__(folder)
            self.handler.loss = Counting()

        def step(self, engine, batch):
            super().step(engine, batch)
            self.handler.loss.steps += 1

    CountingRun(tmp_path).go(1)
    again = CountingRun(tmp_path)
    again.go(3)
    assert again.handler.loss.steps == 15
    without = Run(tmp_path / "other")
    without.handler.loss = torch.nn.MSELoss()
    without.go(1)
    assert "loss" not in torch.load(tmp_path / "other/last.ckpt", weights_only=True)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("scores", [(3.0, 1.0, 2.0, 4.0)])
def test_a_run_that_dies_between_any_two_moves_of_files_resumes(scores, tmp_path, monkeypatch):
    """Every write ends with moves of complete files; between any two moves, the files suffice to continue."""
    unbroken = Run(tmp_path / "whole", scores).go(4)
    best = torch.load(tmp_path / "whole/model.pt", weights_only=True)
    replace, moves = os.replace, []
    for moment in range(20):
        folder = tmp_path / str(moment)
        moves.clear()

        def dies(one, other, moment=moment):
            if len(moves) >= moment:
                raise Killed  # from here on, the process is dead
            moves.append(other)
            replace(one, other)

        monkeypatch.setattr(os, "replace", dies)
        try:
            Run(folder, scores).go(4)
        except Killed:
            dead = True
        else:
            dead = False
        monkeypatch.setattr(os, "replace", replace)
        assert same(Run(folder, scores).go(4), unbroken), f"after {moment} moves"
        assert same(torch.load(folder / "model.pt", weights_only=True), best), f"after {moment} moves"
        assert {path.name for path in folder.iterdir()} == {"last.ckpt", "model.pt"}
        if not dead:
            break
    # last.ckpt four times, and model.pt for each epoch that was the best so far
    better = sum(score == min(scores[: number + 1]) for number, score in enumerate(scores))
    assert len(moves) == 4 + better and not dead


def test_it_writes_once_an_interval_and_always_at_the_end(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    run = Run(tmp_path, scores=range(20), interval=60)
    seen = {}

    @run.trainer.on(Events.EPOCH_COMPLETED)
    def look(engine):
        nonlocal now
        seen[engine.state.epoch] = (read_checkpoint(tmp_path) or {}).get("epoch")
        now += 25.0

    run.go(7)
    # epochs end after 0, 25, 50, ... seconds
    assert seen == {1: None, 2: None, 3: None, 4: 4, 5: 4, 6: 4, 7: 7}
    assert read_checkpoint(tmp_path)["epoch"] == 7
    best = torch.load(tmp_path / "model.pt", weights_only=True)
    assert same(best, Run(tmp_path / "other").go(1)), "the best epoch was kept until it was written"


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGINT, ["planewise: stopped; the same command resumes the run after epoch 2"]), (signal.SIGTERM, [])],
)
def test_a_signal_ends_a_run_with_its_status_and_ctrl_c_with_one_line(tmp_path, number, said):
    code = f"""
import os, signal
from ignite.engine import Events
from planewise.engines import plain_errors
from tests.engines.test_checkpoints import Run
plain_errors()
run = Run({str(tmp_path)!r})
run.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=13), lambda: os.kill(os.getpid(), {int(number)}))
run.go(4)
"""
    done = subprocess.run([quick_python(), "-c", code], cwd=ROOT, capture_output=True, text=True)
    # in a bundle's run, `keep_quiet` removes Ignite's line
    assert [line for line in done.stderr.splitlines() if not line.startswith("Engine run is")] == said
    assert done.returncode == 128 + number
    assert read_checkpoint(tmp_path)["epoch"] == 2


class Learned(Run):
    def __init__(self, folder, **settings):
        super().__init__(folder, scores=(1.0, 2.0, 3.0), width=50_000, **settings)
        self.learner = torch.nn.ModuleDict({"network": self.network, "head": torch.nn.Linear(1, 1)})
        self.handler.learner = self.learner


def test_a_checkpoint_of_version_0_1_resumes(tmp_path):
    """If the last epoch was the best, its weights were only in the other file."""
    Learned(tmp_path).go(1)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    sha256 = hashlib.sha256((tmp_path / "model.pt").read_bytes()).hexdigest()
    learner = saved["learner"] | {"network.weight": "weight", "network.bias": "bias"}
    torch.save(
        {**saved, "network": None, "learner": learner, "iteration": 5, "model_sha256": sha256}, tmp_path / "last.ckpt"
    )
    assert same(Learned(tmp_path).go(2), Learned(tmp_path / "other").go(2))
    Learned(tmp_path / "third").go(1)
    torch.save({**saved, "network": None, "model_sha256": "of other weights"}, tmp_path / "third/last.ckpt")
    with pytest.raises(InputError):
        Learned(tmp_path / "third").go(2)


@pytest.mark.parametrize("value", [float("nan")])
def test_weights_that_are_not_finite_are_never_written(tmp_path, value):
    """The loss of an epoch's last step was finite, but the weights after it were not."""
    Run(tmp_path).go(1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    exploding = Run(tmp_path)
    change = lambda: exploding.network.weight.data.fill_(value)  # noqa: E731
    exploding.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=10), change)
    with pytest.raises(InputError):
        exploding.go(4)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
