"""Run a function in several joined processes, like those that torchrun starts, but without seconds of imports."""

from __future__ import annotations

import multiprocessing
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch

from tests.quick_python import OF_BUNDLES


def import_once() -> None:
    """Let one process import what the other processes need, because these are forked from it. Call it before any
    process is started.
    """
    names = [
        *OF_BUNDLES,
        "planewise.engines",
        "planewise.losses",
        "planewise.metrics",
        "planewise.workshop.phantoms",
        "pytest",
    ]
    multiprocessing.get_context("forkserver").set_forkserver_preload(names)


def in_processes(function: Callable, *arguments: Any, count: int = 2) -> list[Any]:
    """The results of ``function(rank, *arguments)`` in `count` processes; an error in one of them is raised here.

    The function must be at the top level of a module, and must return tensors, numbers and texts.
    """
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        idist.spawn(
            "gloo",
            _call,
            (function, arguments, folder),
            nproc_per_node=count,
            start_method="forkserver",
            master_port=port,
        )
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(count)]


def _call(rank: int, function: Callable, arguments: tuple, folder: str) -> None:
    torch.set_num_threads(1)
    torch.save(function(rank, *arguments), Path(folder) / f"{rank}.pt")
