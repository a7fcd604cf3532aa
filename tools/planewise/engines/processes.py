"""Run with several processes. Torchrun starts them, and each computes its share of every batch."""

from __future__ import annotations

import logging
import os
import warnings
from datetime import timedelta

import ignite.distributed as idist
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from planewise.engines.plain_errors import plain_errors, refuse_strangers
from planewise.errors import InputError
from planewise.parse_bool import parse_bool

logger = logging.getLogger(__name__)

#: The time for which a process waits for the others. It is long, because preprocessing a large data set may take days
#: longer on one machine than on another. If a process dies, torchrun ends the others, so they do not wait.
_PATIENCE = timedelta(days=7)


def own_device() -> torch.device:
    """The GPU with this process's number on its machine; without a GPU, the CPU."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else torch.device("cpu")
    )


def is_first_process() -> bool:
    """Whether this process writes and prints; always true if there is only one."""
    return os.environ.get("RANK", "0") == "0"


def number_of_processes() -> int:
    """Number of processes that torchrun started for this run; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", 1))


def join_processes(device: str | torch.device) -> None:
    """Join the processes that torchrun started. Call it first in ``initialize``; without torchrun it does nothing.

    GPUs communicate through NCCL, CPUs through Gloo. After this call, all processes but the first log only errors.

    Args:
        device: device of this process.

    Raises:
        InputError: the device does not belong to this process.
    """
    plain_errors()
    if "RANK" not in os.environ or dist.is_initialized():
        return
    device = torch.device(device)
    on_gpu = device.type == "cuda"
    if on_gpu:
        _check_gpu(device)
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
    """Wrap ``network`` for training, so that gradients are averaged over all processes.

    The optimiser, the checkpoints and the evaluators use the network itself, so that weights keep their names. Without
    torchrun, the network is returned unchanged.

    Args:
        network: the network, which must be the same in all processes. It is changed in place.
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


def _check_gpu(device: torch.device) -> None:
    number, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if device.index is not None and (
        device.index >= count or (device.index != number and int(os.environ.get("LOCAL_WORLD_SIZE", 1)) > 1)
    ):
        raise InputError(
            f"process {number} of this machine cannot use {device}: each process takes its own GPU, and {count} GPUs are "
            f"visible; leave --device out, and start at most {count} processes (torchrun --nproc_per_node)"
        )
