"""Train a pretext as the second task of a network, between the steps of the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from monai.utils import ensure_tuple
from torch import nn

from planewise.engines.check_settings import check_plain_settings, check_settings
from planewise.engines.handlers import SeedHandler, epoch_sampler
from planewise.engines.processes import parallel_network
from planewise.errors import InputError
from planewise.networks import TwoHeadLearner

#: A key in the optimiser's state. Its entry maps the number of each weight to Adam's averages for the other task.
OTHER_TASK = "other_task"


class AuxiliaryTask:
    """A pretext whose training continues on the encoder and decoder of another network (Bai 2019, section 2, multi-task).

    Batches, targets, loss and head come from the pretext's own configuration. Its ``network`` shares the encoder and decoder
    of the main task; ``learner`` has all trained parts (`TwoHeadLearner`).

    Args:
        config_file: the pretext's ``train.yaml``, or a list of files, where later files override earlier ones.
        network: the main task's network, with an `encoder`, a `decoder` and a `head`.
        run_settings: settings of the run that apply to both tasks; they replace those of the configuration.
        settings: further settings; they replace those of the configuration and of the run.

    Raises:
        InputError: there is no such configuration or setting, one is invalid, or the two networks cannot share parts.
    """

    def __init__(
        self,
        config_file: str | Sequence[str],
        network: nn.Module,
        run_settings: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        files, settings = [str(Path(file).expanduser()) for file in ensure_tuple(config_file)], dict(settings or {})
        if absent := [file for file in files if not Path(file).is_file()]:
            raise InputError(f"there is no {absent[0]}; name the pretext's configs/train.yaml with --pretext_config")
        self._parser = ConfigParser(ConfigParser.load_config_files(files))
        if unknown := [name for name in settings if name not in self._parser]:
            raise InputError(f"the pretext of {files[0]} has no setting {', '.join(unknown)}; see --pretext_settings")
        own = {name: value for name, value in run_settings.items() if name in self._parser}
        self._parser.update(own | settings)
        check_plain_settings(self._parser.get())
        check_settings(self._parser)
        if self._parser["train#trainer#network"] != "@network":
            raise InputError(
                f"the pretext of {files[0]} trains more than its network; name another one with --pretext_config"
            )
        self.network: nn.Module = self._parser.get_parsed_content("network")
        try:
            self.learner = TwoHeadLearner(network, self.network)
        except ValueError as error:
            raise InputError(
                f"the U-Net of {files[0]} differs ({error}); name another one with --pretext_config"
            ) from error

    def trainer(self, optimizer: torch.optim.Optimizer) -> SupervisedTrainer:
        """Make the pretext's trainer, without handlers, for single iterations that step an optimiser of all weights of
        `learner`. It resets gradients to None in each iteration, so weights without a gradient stay unchanged."""
        # synchronise batch normalisation as in the layers that both tasks share
        synced = any(isinstance(module, nn.SyncBatchNorm) for module in self.network.modules())
        parallel = parallel_network(self.network, sync_batch_norm=synced)
        trainer = {"train#trainer#network": parallel, "train#trainer#optim_set_to_none": True, "train#handlers": []}
        self._parser.update({"network": self.network, "optimizer": optimizer, **trainer})
        return self._parser.get_parsed_content("train#trainer")


class AuxiliaryTaskHandler:
    """Before every ``interval`` steps of a trainer, make one step on another task's batch (Bai 2019, section 3).

    This approximates the loss ``L = L_task1 + beta L_task2``; task 2 is the trainer's own. Step k of the other task uses
    the same batch and random numbers as step k of a separate training of that task with the same seed, so a resumed run
    makes the same steps. The trainer's own batches and random numbers are the same as without the other task.

    The other task's mean loss over an epoch is the metric ``pretext_loss``: attach this before what writes metrics.

    Args:
        task: the other task.
        optimizer: the trainer's optimiser, which must contain all weights of the task's learner.
        interval: beta in the paper.
        seed: seed of the run.
    """

    def __init__(
        self, task: AuxiliaryTask, optimizer: torch.optim.Optimizer, interval: int = 10, seed: int = 0
    ) -> None:
        self.task, self.optimizer, self.interval, self.seed = task, optimizer, interval, seed
        self._batches: Iterator[dict[str, Any]] = iter(())
        self._done = -1  # number of the other task's steps that precede the next batch of `_batches`
        self._losses: list[torch.Tensor] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        # this event comes before SeedHandler seeds the trainer's own step
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._report)

    def _start(self, engine: Engine) -> None:
        self._trainer = self.task.trainer(self.optimizer)
        SeedHandler(self.seed, epoch_sampler(self._trainer.data_loader)).attach(self._trainer)

    def _reset(self, engine: Engine) -> None:
        self._losses = []
        engine.state.metrics.pop("pretext_loss", None)

    def _step(self, engine: Engine) -> None:
        if engine.state.iteration % self.interval:
            return
        done, trainer = engine.state.iteration // self.interval, self._trainer
        if done != self._done:
            self._batches = self._batches_after(done)
        batch = next(self._batches)
        trainer.state.iteration = self._done = done + 1
        trainer.fire_event(Events.ITERATION_STARTED)
        self._exchange_averages()
        self._losses.append(trainer._iteration(trainer, batch)["loss"].detach())
        self._exchange_averages()
        # with gradients of zero instead of None, Adam's momentum would move the other task's head in the trainer's steps
        self.optimizer.zero_grad(set_to_none=True)

    def _exchange_averages(self) -> None:
        """For each weight, exchange the optimiser's state for this task with its state for the other task."""
        state = self.optimizer.state
        places = [(group, weight) for group in self.optimizer.param_groups for weight in group["params"]]
        own = {number: state.pop(weight) for number, (_, weight) in enumerate(places) if weight in state}
        for number, kept in state.pop(OTHER_TASK, {}).items():
            group, weight = places[number]
            # a checkpoint's state is on the CPU; the step count moves to the device only if the step is fused
            moved = {name for name in kept if name != "step" or group.get("fused")}
            state[weight] = {name: value.to(weight.device) if name in moved else value for name, value in kept.items()}
        state[OTHER_TASK] = own

    def _batches_after(self, steps: int) -> Iterator[dict[str, Any]]:
        """Yield the other task's batches, epoch after epoch, starting after its first ``steps`` steps."""
        passes, seen = divmod(steps, len(self._trainer.data_loader))
        for epoch in count(passes + 1):
            self._trainer.state.epoch = epoch
            self._trainer.fire_event(Events.EPOCH_STARTED)
            yield from islice(self._trainer.data_loader, seen, None)
            seen = 0

    def _report(self, engine: Engine) -> None:
        if self._losses:
            loss = torch.stack(self._losses).mean()
            engine.state.metrics["pretext_loss"] = float(idist.all_reduce(loss)) / idist.get_world_size()
