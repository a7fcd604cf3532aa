"""A run's processes: what they log, how they end, and how several of them share a run that torchrun started."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
import torch.distributed as dist
from monai.apps import get_logger
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from planewise.errors import InputError, causes, refusal
from planewise.settings import PATHS, parse_bool

#: Warnings about conditions that are normal.
_IDLE_WARNINGS = (
    "torch.meshgrid: in an upcoming release",
    "NvImgCodecPydicomReader: nvImageCodec decoder plugin did not register",
    "Setting affine, but the applied meta contains an affine",
    # MONAI warns about every configuration that it reads, and about the first one before this filter exists
    "parsing config_file",
)
#: Loggers of the engines that a config names; MONAI's `CheckpointLoader` logs the path of the weights to them.
ENGINE_LOGGERS = tuple(
    f"ignite.engine.engine.{name}"
    for name in ("BatchEvaluator", "BatchTrainer", "SupervisedEvaluator", "SupervisedTrainer")
)
#: MONAI's logger of scores, and of errors that end an engine.
_STATS_LOGGER = "monai.handlers.StatsHandler"
#: Messages of Ignite and MONAI when an engine starts or ends, which is in each validation; our handlers log what a run does.
_IDLE = re.compile(
    r"Engine run (starting|resuming|finished)|Epoch\[\d+\] Complete|Got new best metric|.*is terminating due to"
)
_RESTORED = "Restored all variables from "
_SUMMARY = re.compile(r"> (?P<name>[^:]+): (?P<value>.*)", re.S)
#: Gloo's and NCCL's errors in a process that waits for one that has ended.
_PEER_ENDED = re.compile(r"Connection (closed|reset) by peer|Broken pipe|remote process exited|Socket closed", re.I)

#: The time for which a process waits for the others: preprocessing may take days longer on one machine than on another.
_PATIENCE = timedelta(days=7)


def keep_quiet() -> None:
    """Remove paths from MONAI's log, which must not leave their machine, and messages about things that users cannot change,
    which ``PLANEWISE_DEBUG=1`` shows. Call this function in ``initialize``, because MONAI logs its summary of the command
    line afterwards. ``configs/logging.conf`` controls MONAI's earlier messages."""
    get_logger(_STATS_LOGGER)  # the first call adds MONAI's stream to it
    for name in ("monai.bundle.scripts", _STATS_LOGGER, *ENGINE_LOGGERS):
        logger = logging.getLogger(name)
        # a packaged bundle in the same process has its own copy of the filter
        for given in [each for each in logger.filters if getattr(each, "__name__", None) == _shown.__name__]:
            logger.removeFilter(given)
        logger.addFilter(_shown)
    if not os.environ.get("PLANEWISE_DEBUG"):
        for message in _IDLE_WARNINGS:
            warnings.filterwarnings("ignore", re.escape(message))


def _shown(record: logging.LogRecord) -> bool:
    """Remove the path of weights from a record, and tell whether the record is shown."""
    text = str(record.msg)
    if text.startswith(_RESTORED):
        record.msg = f"{_RESTORED}{Path(text.removeprefix(_RESTORED)).name}"
    elif found := _SUMMARY.fullmatch(text):
        return found["name"] not in PATHS and not any(mark in found["value"] for mark in "/\\")
    interrupted = record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt | SystemExit)
    return bool(os.environ.get("PLANEWISE_DEBUG")) or not (interrupted or _IDLE.match(text))


def plain_errors() -> None:
    """If an `InputError` ends the process, print only its message, without MONAI's pages of traceback, which
    ``PLANEWISE_DEBUG=1`` keeps. Ctrl-C ends the process with one line and status 130. This function also filters the log
    (`keep_quiet`), and makes SIGTERM, unless other code handles it, end the process by an exception, like Ctrl-C."""
    keep_quiet()
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if not os.environ.get("PLANEWISE_DEBUG") and not getattr(sys.excepthook, "planewise", False):
        sys.excepthook = _hook(sys.excepthook)


def _hook(previous: Callable[..., Any]) -> Callable[..., None]:
    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if isinstance(error, KeyboardInterrupt):
            if is_first_process():
                print(f"planewise: {error if error.args else 'interrupted'}", file=sys.stderr)
            # otherwise, `python -m` ends with status 1
            sys.exit(128 + signal.SIGINT)
        if plain := refusal(error):
            print(f"planewise: {plain}", file=sys.stderr)
        elif number_of_processes() > 1 and any(_PEER_ENDED.search(str(cause)) for cause in causes(error)):
            print("planewise: another process of this run has ended; the same command resumes the run", file=sys.stderr)
        else:
            previous(kind, error, trace)

    hook.planewise = True  # type: ignore[attr-defined]
    return hook


def own_device() -> torch.device:
    """The GPU with this process's number on its machine; without a GPU, the CPU."""
    cuda = torch.cuda.is_available()
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")


def is_first_process() -> bool:
    """Whether this process writes and prints; always true if there is only one."""
    return os.environ.get("RANK", "0") == "0"


def number_of_processes() -> int:
    """Number of processes that torchrun started for this run; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", 1))


def refuse_strangers() -> None:
    """Refuse several processes that have not joined, because each would do the whole run and write to the same files."""
    if "RANK" in os.environ and number_of_processes() > 1 and not dist.is_initialized():
        raise InputError(
            f"torchrun started {number_of_processes()} processes; add 'configs/multi_gpu_train.yaml' to --config_file"
        )


def join_processes(device: str | torch.device) -> None:
    """Join the processes that torchrun started. Call it first in ``initialize``; without torchrun it does nothing.

    GPUs communicate through NCCL, CPUs through Gloo. After this call, all processes but the first log only errors.

    Raises:
        InputError: ``device`` does not belong to this process.
    """
    plain_errors()
    if "RANK" not in os.environ or dist.is_initialized():
        return
    device = torch.device(device)
    on_gpu = device.type == "cuda"
    if on_gpu:
        number, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
        if device.index not in (None, number) or number >= count:
            raise InputError(
                f"process {number} cannot use {device}; leave --device out, and start at most {count} processes here"
            )
        torch.cuda.set_device(device)
    store, rank, processes = next(dist.rendezvous("env://", timeout=_PATIENCE))
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        # with --max_restarts, torchrun reuses the store for the next attempt, and it still contains the addresses of dead
        # processes (torch 2.13). Each machine counts only its own restarts, so with several machines torchrun must create
        # a new store for each attempt
        store = dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=store,
        rank=rank,
        world_size=processes,
        timeout=_PATIENCE,
        device_id=device if on_gpu else None,
    )
    # Ignite prefers SLURM's variables, but SLURM does not know the processes that torchrun started
    job = os.environ.pop("SLURM_JOB_ID", None)
    idist.sync()
    if job is not None:
        os.environ["SLURM_JOB_ID"] = job
    if not is_first_process():
        for handler in logging.getLogger().handlers:
            handler.addFilter(lambda record: record.levelno >= logging.ERROR)


def leave_processes() -> None:
    """Wait for all processes, then end the connection between them. Call it in ``finalize``."""
    if dist.is_initialized():
        idist.barrier()
        idist.finalize()


def parallel_network(network: nn.Module, sync_batch_norm: bool | str = False) -> nn.Module:
    """Wrap ``network`` for training, so that gradients are averaged over all processes; without torchrun, it is unchanged.

    The optimiser, the checkpoints and the evaluators use the network itself, so that weights keep their names.

    Args:
        network: the network, which must be the same in all processes.
        sync_batch_norm: whether to normalise over the batches of all processes (`torch.nn.SyncBatchNorm`, on GPUs only).
            Otherwise, each process normalises its own batch, and the running statistics are those of the first process.

    Raises:
        InputError: torchrun started several processes that have not joined, or ``sync_batch_norm`` is true on a CPU.
    """
    if not dist.is_initialized():
        refuse_strangers()
        return network
    device = next(network.parameters()).device
    if parse_bool(sync_batch_norm, "sync_batch_norm"):
        if device.type == "cpu":
            raise InputError("batch normalisation can be synchronised only on GPUs; on a CPU, set --norm instance")
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    # with channels last, the memory of a 1x1 convolution's weights can be described by two different strides
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    return DistributedDataParallel(network, device_ids=None if device.type == "cpu" else [device])
