"""End a run at any point, by an error or a signal, with one line for the user."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

import torch
import torch.distributed as dist

from planewise.engines.quiet import keep_quiet
from planewise.errors import InputError, refusal

#: Python's default handler of each signal.
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_received: list[int] = []


def plain_errors() -> None:
    """If an `InputError` ends the process, print only its message. MONAI would print pages of traceback.

    Ctrl-C ends the process with one line and status 130. ``PLANEWISE_DEBUG=1`` keeps the traceback. This function also
    filters the log (`keep_quiet`), and makes SIGTERM end the process like Ctrl-C (`listen`).
    """
    keep_quiet()
    listen()
    if os.environ.get("PLANEWISE_DEBUG") or getattr(sys.excepthook, "planewise", False):
        return
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if isinstance(error, KeyboardInterrupt):
            if os.environ.get("RANK", "0") == "0":
                print(f"planewise: {error if error.args else 'interrupted'}", file=sys.stderr)
            # otherwise, `python -m` ends with status 1
            sys.exit(128 + signal.SIGINT)
        if plain := refusal(error):
            print(f"planewise: {plain}", file=sys.stderr)
        else:
            previous(kind, error, trace)

    hook.planewise = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def refuse_strangers() -> None:
    """Stop if torchrun started several processes that have not joined, because each would do the whole run and write to the
    same files.

    Raises:
        InputError: torchrun started more than one process.
    """
    if "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized():
        raise InputError(
            f"torchrun started {os.environ['WORLD_SIZE']} processes, but this configuration is for one process; add "
            "'configs/multi_gpu_train.yaml' as the last file of --config_file"
        )


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
