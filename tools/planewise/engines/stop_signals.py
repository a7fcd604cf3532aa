"""Let Ctrl-C and SIGTERM end a run at any point."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import torch

#: Python's default handler of each signal.
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_received: list[int] = []


def listen() -> None:
    """Make SIGTERM end this process like Ctrl-C, with an exception in the main thread, and record both signals.

    Handlers that other code has installed are kept. In threads other than the main thread, no handler is installed.
    """
    _received.clear()
    if threading.current_thread() is threading.main_thread():
        for number, default in _DEFAULTS.items():
            if signal.getsignal(number) is default:
                signal.signal(number, _stop)


def stop_if_asked(*_: Any) -> None:
    """Raise the exception of a recorded signal again, because it may have been lost: C++ code drops exceptions while it
    checks whether an object has an attribute."""
    if _received:
        _raise(_received[-1])


def stop_during_backward(optimizer: torch.optim.Optimizer) -> None:
    """Let signals end a step between the layers of its backward pass on a CPU, which may take half a minute.

    The backward pass is one call to C++, so without this, Python's signal handlers have to wait for its end.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.requires_grad and parameter.device.type == "cpu":
                # calling any Python function is enough
                parameter.register_post_accumulate_grad_hook(stop_if_asked)


def _stop(number: int, frame: Any) -> None:
    _received.append(number)
    _raise(number)


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
