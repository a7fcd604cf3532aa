"""A function in several processes that have joined, as torchrun would start them, without its seconds of imports."""

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


def in_processes(function: Callable, *arguments: Any, count: int = 2) -> list[Any]:
    """What ``function(rank, *arguments)`` returns in each of `count` processes; an error in one is raised here.

    The function stands at the top of a module; what it returns is tensors, numbers and texts.
    """
    # one process imports, what an optimiser imports when it is made included, and the others are forked from it
    preload = [
        *OF_BUNDLES,
        "planewise.engines",
        "planewise.losses",
        "planewise.metrics",
        "planewise.phantoms",
        "pytest",
    ]
    multiprocessing.get_context("forkserver").set_forkserver_preload(preload)
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
