"""Report the error that ends a run in one line, to the user and to torchrun."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from traceback import walk_tb
from typing import Any

import torch.distributed as dist

from planewise.engines.quiet import keep_quiet
from planewise.engines.stop_signals import listen
from planewise.errors import InputError, causes, refusal
from planewise.exams.words import did_you_mean, nearest

#: MONAI's errors for names in a configuration that refer to nothing. (`_WRONG_ARGUMENTS` has Python's errors for wrong
#: arguments.)
_SLIPS = re.compile(
    r"Cannot locate class or function path|is not (found|defined) in the config|detected circular references"
)
_MADE = re.compile(r"Failed to instantiate component '([\w.]+)'")
#: PyTorch's errors for settings with which a normalisation gets only one number, for settings that need too much memory, and
#: for a mask with more values than the network has classes (on a GPU, the error does not name the value).
_ONE_VALUE = re.compile(r"Expected more than 1 (value per channel|spatial element) when training")
_NO_MEMORY = re.compile(r"can't allocate memory|not enough memory|out of memory")
_NO_CLASS = re.compile(r"Target (-?\d+) is out of bounds")
_ASSERTED_ON_GPU = re.compile(r"device-side assert triggered")
_WRONG_ARGUMENTS = re.compile(r"unexpected keyword argument|missing \d+ required")
#: Words in errors of a GPU or of the connection between processes, and in those that mean that another process has ended.
#: Gloo, which connects CPUs, has no separate class for such errors.
_MACHINE, _LOST = ("gloo", "NCCL", "CUDA", "cuDNN"), ("gloo/transport",)
#: If a process loses the connection to another process, it waits this many seconds until torchrun ends it, so that the
#: other process's reason is printed last.
_GRACE = 5.0
#: Functions to call if this process ends with a one-line message that asks for a change.
after_refusal: list[Callable[[], None]] = []


def plain_errors() -> None:
    """If an `InputError` ends the process, print only its message. MONAI would print pages of traceback.

    After the traceback of any other error, the last line names the error that caused it. Ctrl-C ends the process with one
    line and status 130. ``PLANEWISE_DEBUG=1`` keeps the traceback. With several processes, the message names the process
    that failed, and torchrun prints it last. This function also filters the log (`keep_quiet`), and makes SIGTERM end the
    process like Ctrl-C (`planewise.engines.stop_signals`).
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
        plain = refusal(error) or slip_in_config(chain) or beyond_pytorch(chain)
        if plain is not None:
            print(f"{who}: {plain}", file=sys.stderr)
            for undo in after_refusal:
                undo()
        elif not alone and (lost := next((cause for cause in chain if of_the_machine(cause, _LOST)), None)):
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


def slip_in_config(chain: Sequence[BaseException]) -> str | None:
    """A one-line message if MONAI cannot resolve a name or reference in a configuration, or if a component refuses its
    arguments; None for any other error."""
    for cause, outer in zip(chain, [None, *chain], strict=False):
        text = str(cause.args[0] if cause.args else cause)
        slip = _SLIPS.search(text)
        made = _MADE.match(str(outer))
        wrong = isinstance(cause, TypeError) and _WRONG_ARGUMENTS.search(text)
        # a dataset reads the images, so it may fail for another reason
        refused = isinstance(cause, ValueError) and made and ".data." not in made[1]
        if refused:
            text = f"{made[1].rpartition('.')[2]}: {text}"
        if slip or (made and wrong) or refused:
            text = text.splitlines()[0].rstrip(".")
            own = (
                "; if it is code of your own, add its folder to PYTHONPATH" if text.startswith("Cannot locate") else ""
            )
            return (
                f"a mistake in the configuration or its overrides: {text}{_referrer(cause)}{own}; "
                "PLANEWISE_DEBUG=1 shows where"
            )
    return None


def _referrer(error: BaseException) -> str:
    """The key whose reference MONAI cannot resolve, and a similar name that the config has; empty for another error."""
    absent = re.search(r"`@(.+)` is not defined in the config", str(error))
    for frame, _ in reversed(list(walk_tb(error.__traceback__))) if absent else ():
        seen = frame.f_locals
        if "id" in seen and hasattr(seen.get("self"), "items"):  # MONAI's ReferenceResolver
            near = did_you_mean(nearest(absent[1], seen["self"].items))
            return f", but {str(seen['id']).replace('::', '#')} refers to it{near.replace('mean ', 'mean @')}"
    return ""


def beyond_pytorch(chain: Sequence[BaseException]) -> str | None:
    """A one-line message with a remedy if PyTorch cannot run with the settings; None for any other error."""
    for cause in chain:
        text = str(cause).strip()
        if isinstance(cause, ValueError) and _ONE_VALUE.search(text):
            return (
                "normalisation needs more than one number per channel, but the deepest level of the network has only "
                "one (the batch, or the last batch, is a single small image); raise --image_size or --batch_size, or "
                "set fewer --features"
            )
        if isinstance(cause, MemoryError) or (isinstance(cause, RuntimeError) and _NO_MEMORY.search(text)):
            said = f" ({text.splitlines()[0]})" if text else ""
            return f"this run needs more memory than available{said}; lower --batch_size, --image_size or --features"
        if (value := beyond_classes(cause)) is not None:
            return not_a_class(value, "a label or mask")
        if isinstance(cause, RuntimeError) and _ASSERTED_ON_GPU.search(text):
            return (
                "the GPU refused an index that is out of bounds: probably a label or mask has a value that is not a class of "
                "the network; run it with --device cpu, which names the value"
            )
    return None


def beyond_classes(error: BaseException) -> int | None:
    """The value of a label that is not a class of the network, if PyTorch raised the error for it; otherwise None."""
    found = _NO_CLASS.search(str(error)) if isinstance(error, IndexError) else None
    return int(found[1]) if found else None


def not_a_class(value: int | None, what: str) -> str:
    """The message for a label (``what``) with a value that is not a class of the network."""
    return (
        f"{what} has the value {value}, which is not a class of the network; for masks, name every value in --structures, "
        "or rename the values with `planewise index --label-map`; `planewise index` names the files with such masks. For "
        "grades or groups, give the network an output for each, or keep the bundle's own loss"
    )


def of_the_machine(error: BaseException, words: Sequence[str] = _MACHINE) -> bool:
    """Whether an error comes from a GPU or from the connection to other processes, and so not from the values."""
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


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
