"""Errors that end a run, in a line for a person and for torchrun."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist

from planewise.engines.quiet import keep_quiet
from planewise.engines.stop_signals import listen
from planewise.errors import InputError, causes, refusal

#: What MONAI says of names in a configuration that lead nowhere, and Python of arguments that a target has not.
_SLIPS = re.compile(
    r"Cannot locate class or function path|is not (found|defined) in the config|detected circular references"
)
#: What PyTorch says of settings that leave a normalisation one number, and of those that take more memory than there is.
_ONE_VALUE = re.compile(r"Expected more than 1 (value per channel|spatial element) when training")
_NO_MEMORY = re.compile(r"can't allocate memory|not enough memory|out of memory")
_WRONG_ARGUMENTS = re.compile(r"unexpected keyword argument|missing \d+ required")
#: Seconds that a process which lost another waits to be ended by torchrun, so that the other's reason is the last word.
_GRACE = 5.0


def plain_errors() -> None:
    """Let an `InputError` that ends the process print its message alone; MONAI would wrap it in pages of traceback.

    ``PLANEWISE_DEBUG=1`` keeps the traceback. With several processes, the message names the
    process that failed, and torchrun prints it last. The log is quiet from here on (`keep_quiet`), and SIGTERM ends the
    process as Ctrl-C does (`planewise.engines.stop_signals`).
    """
    keep_quiet()
    listen()
    if os.environ.get("PLANEWISE_DEBUG") or getattr(sys.excepthook, "planewise", False):
        return
    previous = sys.excepthook
    alone = int(os.environ.get("WORLD_SIZE", 1)) == 1
    who = "planewise" if alone else f"planewise, process {os.environ.get('RANK')} of {os.environ['WORLD_SIZE']}"

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        chain = causes(error)
        plain = (
            "interrupted"
            if isinstance(error, KeyboardInterrupt)
            else (refusal(error) or slip_in_config(chain) or beyond_pytorch(chain))
        )
        if plain is not None:
            print(f"{who}: {plain}", file=sys.stderr)
        elif not alone and (lost := next(filter(_lost_connection, chain), None)):
            print(f"{who}: another process is gone or out of reach: {lost}", file=sys.stderr, flush=True)
            time.sleep(_GRACE)
        else:
            previous(kind, error, trace)
        _tell_torchrun(f"{who}: {plain or chain[-1]}")

    hook.planewise = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def slip_in_config(chain: Sequence[BaseException]) -> str | None:
    """What MONAI says of a name or a reference in a configuration that leads nowhere, in a line; None of anything else."""
    for cause, outer in zip(chain, [None, *chain], strict=False):
        text = str(cause.args[0] if cause.args else cause)
        slip = _SLIPS.search(text)
        made = outer is not None and str(outer).startswith("Failed to instantiate component")
        if slip or (made and isinstance(cause, TypeError) and _WRONG_ARGUMENTS.search(text)):
            text = text.splitlines()[0].rstrip(".")
            return f"a slip in the configuration or its overrides: {text}; PLANEWISE_DEBUG=1 shows where"
    return None


def beyond_pytorch(chain: Sequence[BaseException]) -> str | None:
    """What settings ask of PyTorch that it cannot do, and which to change, in a line; None of anything else."""
    for cause in chain:
        text = str(cause).strip()
        if isinstance(cause, ValueError) and _ONE_VALUE.search(text):
            return (
                "a normalisation needs more than one number of each channel, and the deepest level of the network has one "
                "(a single image, or a last batch of one, of few pixels); raise --image_size or --batch_size, or give fewer "
                "--features"
            )
        if isinstance(cause, MemoryError) or (isinstance(cause, RuntimeError) and _NO_MEMORY.search(text)):
            said = f" ({text.splitlines()[0]})" if text else ""
            return f"the memory is too small for this run{said}; lower --batch_size, --image_size or --features"
    return None


def _lost_connection(error: BaseException) -> bool:
    """Whether the error means that another process has ended; Gloo (on CPUs) has no error class of its own for it."""
    return isinstance(error, RuntimeError) and "gloo/transport" in str(error)


def _tell_torchrun(reason: str) -> None:
    """Write the reason to torchrun's error file, in torchrun's format; torchrun shows it last."""
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        extra = {"py_callstack": reason, "timestamp": str(int(time.time()))}
        Path(file).write_text(json.dumps({"message": {"message": reason, "extraInfo": extra}}))


def refuse_strangers() -> None:
    """Stop if torchrun started processes that were never joined: each would do the whole run, in the same files.

    Raises:
        InputError: torchrun started more than one process.
    """
    if "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized():
        raise InputError(
            f"torchrun started {os.environ['WORLD_SIZE']} processes, and this configuration is for one; add "
            "'configs/multi_gpu_train.yaml' as the last of --config_file"
        )
