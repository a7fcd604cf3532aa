"""Errors that end a run, in one line for a person and for torchrun."""

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

#: MONAI's errors for names in a configuration that lead nowhere, and Python's for unknown arguments.
_SLIPS = re.compile(
    r"Cannot locate class or function path|is not (found|defined) in the config|detected circular references"
)
#: PyTorch's errors for settings that leave a normalisation one number, and for settings that need too much memory.
_ONE_VALUE = re.compile(r"Expected more than 1 (value per channel|spatial element) when training")
_NO_MEMORY = re.compile(r"can't allocate memory|not enough memory|out of memory")
_WRONG_ARGUMENTS = re.compile(r"unexpected keyword argument|missing \d+ required")
#: Seconds that a process which lost another waits for torchrun to end it, so that the other's reason is printed last.
_GRACE = 5.0


def plain_errors() -> None:
    """If an `InputError` ends the process, print only its message; MONAI would wrap it in pages of traceback.

    ``PLANEWISE_DEBUG=1`` keeps the traceback. With several processes, the message names the process that failed, and
    torchrun prints it last. From here on the log is quiet (`keep_quiet`), and SIGTERM ends the process like Ctrl-C
    (`planewise.engines.stop_signals`).
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
            print(f"{who}: another process has ended or cannot be reached: {lost}", file=sys.stderr, flush=True)
            time.sleep(_GRACE)
        else:
            previous(kind, error, trace)
        _tell_torchrun(f"{who}: {plain or chain[-1]}")

    hook.planewise = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def slip_in_config(chain: Sequence[BaseException]) -> str | None:
    """MONAI's error for a name or a reference in a configuration that leads nowhere, in a line; None for any other
    error.
    """
    for cause, outer in zip(chain, [None, *chain], strict=False):
        text = str(cause.args[0] if cause.args else cause)
        slip = _SLIPS.search(text)
        made = outer is not None and str(outer).startswith("Failed to instantiate component")
        if slip or (made and isinstance(cause, TypeError) and _WRONG_ARGUMENTS.search(text)):
            text = text.splitlines()[0].rstrip(".")
            return f"a mistake in the configuration or its overrides: {text}; PLANEWISE_DEBUG=1 shows where"
    return None


def beyond_pytorch(chain: Sequence[BaseException]) -> str | None:
    """A setting that PyTorch cannot run with, and the one to change, in a line; None for any other error."""
    for cause in chain:
        text = str(cause).strip()
        if isinstance(cause, ValueError) and _ONE_VALUE.search(text):
            return (
                "normalisation needs more than one number per channel, but the deepest level of the network has only "
                "one (a single image, or a last batch of one, of few pixels); raise --image_size or --batch_size, or "
                "give fewer --features"
            )
        if isinstance(cause, MemoryError) or (isinstance(cause, RuntimeError) and _NO_MEMORY.search(text)):
            said = f" ({text.splitlines()[0]})" if text else ""
            return f"the memory is too small for this run{said}; lower --batch_size, --image_size or --features"
    return None


def _lost_connection(error: BaseException) -> bool:
    """Whether the error means that another process has ended; Gloo (on CPUs) has no separate error class for it."""
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
            f"torchrun started {os.environ['WORLD_SIZE']} processes, but this configuration is for one; add "
            "'configs/multi_gpu_train.yaml' as the last of --config_file"
        )
