"""End a run at any point, by an error or a signal, with one line for the user and for torchrun."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from monai.utils import OptionalImportError

from planewise.engines.quiet import keep_quiet
from planewise.errors import InputError, causes, refusal

#: A word in errors of the connection between processes, if another process has ended: Gloo has no class for them.
_LOST = "gloo/transport"
#: If a process loses the connection to another process, it waits this many seconds until torchrun ends it, so that the
#: other process's reason is printed last.
_GRACE = 5.0
#: Python's default handler of each signal.
_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_received: list[int] = []


def plain_errors() -> None:
    """If an `InputError` ends the process, print only its message. MONAI would print pages of traceback.

    After the traceback of any other error, the last line names the error that caused it. Ctrl-C ends the process with one
    line and status 130. ``PLANEWISE_DEBUG=1`` keeps the traceback. With several processes, the message names the process
    that failed, and torchrun prints it last. This function also filters the log (`keep_quiet`), and makes SIGTERM end the
    process like Ctrl-C (`listen`).
    """
    keep_quiet()
    listen()
    if os.environ.get("PLANEWISE_DEBUG") or getattr(sys.excepthook, "planewise", False):
        return
    previous = sys.excepthook
    alone = int(os.environ.get("WORLD_SIZE", 1)) == 1
    who = "planewise" if alone else f"planewise, process {os.environ.get('RANK')} of {os.environ['WORLD_SIZE']}"

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if isinstance(error, KeyboardInterrupt):
            if os.environ.get("RANK", "0") == "0":
                print(f"planewise: {error if error.args else 'interrupted'}", file=sys.stderr)
            # otherwise, `python -m` ends with status 1
            sys.exit(128 + signal.SIGINT)
        chain = causes(error)
        # the message of MONAI's handlers that need another package, such as mlflow, says which
        plain = refusal(error) or next((cause for cause in chain if isinstance(cause, OptionalImportError)), None)
        if plain is not None:
            print(f"{who}: {plain}", file=sys.stderr)
        elif not alone and (lost := next((cause for cause in chain if _LOST in str(cause)), None)):
            print(f"{who}: another process has ended or cannot be reached: {lost}", file=sys.stderr, flush=True)
            time.sleep(_GRACE)
        else:
            previous(kind, error, trace)
            # MONAI's traceback is long, and its last line names only the expression of the config
            if len(chain) > 1:
                print(f"{who}: ended by {type(chain[-1]).__name__}: {chain[-1]}", file=sys.stderr)
        _tell_torchrun(f"{who}: {plain or chain[-1]}")

    hook.planewise = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def _tell_torchrun(reason: str) -> None:
    """Write the reason to torchrun's error file, in torchrun's format, so that torchrun shows it last."""
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        extra = {"py_callstack": reason, "timestamp": str(int(time.time()))}
        Path(file).write_text(json.dumps({"message": {"message": reason, "extraInfo": extra}}))


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
