"""Test what processes log, how they end, and how several share a run."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings

import ignite.distributed as idist
import monai.bundle
import pytest
import torch
import torch.distributed as dist
from monai.apps import get_logger
from monai.engines import SupervisedEvaluator
from monai.handlers import CheckpointLoader, StatsHandler
from planewise.engines import (
    is_first_process,
    join_processes,
    leave_processes,
    own_device,
    parallel_network,
    plain_errors,
    start_run,
)
from planewise.engines.processes import ENGINE_LOGGERS, keep_quiet
from planewise.errors import InputError
from planewise.losses.terms import mean_over_known
from torch import nn

from tests.processes import in_processes


@pytest.fixture
def launched(monkeypatch):
    """Set the environment that torchrun gives a process; by default, it is the only one."""

    def launch(rank: int = 0, processes: int = 1, local_rank: int | None = None) -> None:
        variables = {"RANK": rank, "WORLD_SIZE": processes, "LOCAL_RANK": rank if local_rank is None else local_rank}
        variables |= {"LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 0}
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))

    yield launch
    leave_processes()


@pytest.fixture
def joined(launched) -> None:
    """The only process that torchrun started, which has joined."""
    launched()
    join_processes("cpu")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1))


def test_joining_and_leaving(joined):
    assert dist.is_initialized() and dist.get_backend() == "gloo" and idist.get_world_size() == 1
    join_processes("cpu")
    leave_processes()
    assert not dist.is_initialized() and idist.get_world_size() == 1 and idist.backend() is None


def test_the_network_itself_stays_as_it_is(joined):
    own = network()
    names = list(own.state_dict())
    wrapped = parallel_network(own, "false")
    assert isinstance(wrapped, nn.parallel.DistributedDataParallel) and wrapped.module is own
    assert list(own.state_dict()) == names and type(own[1]) is nn.BatchNorm2d
    with pytest.raises(InputError):
        parallel_network(own, True)


def test_processes_that_nobody_joined_are_refused(launched, tmp_path):
    launched(rank=1, processes=4)
    assert not is_first_process()
    for call in (lambda: parallel_network(network()), lambda: start_run(tmp_path / "run", 0)):
        with pytest.raises(InputError):
            call()
    assert not (tmp_path / "run").exists()


def stepped(rank: int) -> dict[str, torch.Tensor]:
    """Gradients from a process's own sample, and the logged values."""
    leave_processes()
    os.environ.update(LOCAL_WORLD_SIZE="2")
    handler, root = logging.Handler(), logging.getLogger()
    records: list[logging.LogRecord] = []
    handler.emit = records.append
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    join_processes("cpu")
    for level in (logging.INFO, logging.ERROR):
        root.log(level, "said")
    own = nn.Linear(3, 1, bias=False)
    own.weight.data.fill_(rank + 1.0)
    parallel = parallel_network(own)
    parallel(torch.eye(3)[rank : rank + 1]).sum().backward()
    return {"weight": own.weight.detach(), "gradient": own.weight.grad, "said": torch.tensor(len(records))}


def test_two_processes_start_alike_average_gradients_and_one_talks():
    first, second = in_processes(stepped)
    assert torch.equal(first["weight"], second["weight"])
    assert first["gradient"].tolist() == second["gradient"].tolist() == [[0.5, 0.5, 0]]
    assert int(first["said"]) == 2 and int(second["said"]) == 1


@pytest.mark.gpu
def test_on_a_gpu(launched):
    launched()
    join_processes(own_device())
    assert dist.get_backend() == "nccl" and idist.device() == torch.device("cuda:0")
    own = network().to(own_device(), memory_format=torch.channels_last)
    parallel = parallel_network(own, True)
    optimizer = torch.optim.Adam(own.parameters())
    image = torch.rand(4, 1, 8, 8, device=own_device())
    for _ in range(2):
        optimizer.zero_grad(set_to_none=False)
        prediction = parallel(image)
        loss, known = mean_over_known(prediction.square().sum(), prediction > 0)
        loss.backward()
        optimizer.step()
    assert torch.isfinite(own[0].weight).all() and int(known) > 0
    assert idist.all_gather("NVIDIA") == ["NVIDIA"] and idist.all_gather(3) == [3]
    leave_processes()
    assert own.eval()(image).shape == (4, 1, 6, 6)


@pytest.fixture(autouse=True)
def as_it_was():
    """Restore the filters, so that they do not silence later tests."""
    loggers = [
        logging.getLogger(name) for name in ("monai.bundle.scripts", "monai.handlers.StatsHandler", *ENGINE_LOGGERS)
    ]
    filters = [list(logger.filters) for logger in loggers]
    with warnings.catch_warnings():
        yield
    for logger, before in zip(loggers, filters, strict=True):
        logger.filters[:] = before


def test_monai_logs_a_runs_settings_without_its_paths(tmp_path, caplog):
    (tmp_path / "ZZDOE_JANE").mkdir()
    config = tmp_path / "c.yaml"
    config.write_text(
        "imports: [$import planewise]\ninitialize: [$planewise.engines.plain_errors()]\nrun: [$0]\ninput: a\nsigma: 1\nx: 1\n"
    )
    logger = logging.getLogger("monai.bundle.scripts")
    logger.addHandler(caplog.handler)
    try:
        monai.bundle.run(
            config_file=str(config), logging_file=False, input="ZZDOE_JANE", sigma=3, x=str(tmp_path / "ZZDOE_JANE")
        )
    finally:
        logger.removeHandler(caplog.handler)
    assert "input summary" in caplog.text and "> sigma: 3" in caplog.text
    assert "> input" not in caplog.text and "> x" not in caplog.text and "ZZDOE" not in caplog.text


def test_loaded_weights_are_logged_without_their_folder(tmp_path, caplog):
    network = torch.nn.Linear(1, 1)
    (tmp_path / "ZZDOE_JANE").mkdir()
    torch.save(network.state_dict(), tmp_path / "ZZDOE_JANE" / "model.pt")
    keep_quiet()
    loader = CheckpointLoader(str(tmp_path / "ZZDOE_JANE" / "model.pt"), {"model": network})
    with caplog.at_level(logging.INFO):
        SupervisedEvaluator("cpu", [torch.zeros(1)], network, val_handlers=[loader]).run()
    assert "Restored all variables from model.pt" in caplog.text and "ZZDOE" not in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), ValueError("a real one")])
def test_ctrl_c_in_a_validation_has_no_traceback(error, caplog):
    """MONAI logs whatever ends an engine, and Ignite announces it twice."""
    keep_quiet()
    get_logger("monai.handlers.StatsHandler", logger_handler=caplog.handler)

    def step(engine, batch):
        raise error

    evaluator = SupervisedEvaluator(
        torch.device("cpu"), [1], torch.nn.Identity(), iteration_update=step, val_handlers=[StatsHandler()]
    )
    with pytest.raises(type(error)):
        evaluator.run()
    assert "is terminating due to exception" not in caplog.text
    assert ("Traceback" in caplog.text) == isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("error", "rank", "lines"),
    [
        (InputError("index it again"), "0", 1),
        (KeyboardInterrupt("stopped after epoch 2"), "0", 1),
        (KeyboardInterrupt("stopped after epoch 2"), "1", 0),  # the first process says it
        (RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4711"), "1", 1),
    ],
)
def test_a_run_ends_with_one_line(error, rank, lines, monkeypatch, capsys):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    plain_errors()
    outer = error
    if isinstance(error, InputError):  # as MONAI passes on an error of an expression
        outer = RuntimeError("in an expression")
        outer.__cause__ = error
    with contextlib.suppress(SystemExit):
        sys.excepthook(type(outer), outer, None)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines and all(str(error) in line for line in said if not isinstance(error, RuntimeError))
