"""The start of every bundle run: check the settings, fix the seed, record the configuration, decide whether to resume."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from planewise.engines.follow_weights import follow_pretrained, follow_weights
from planewise.engines.overrides import warn_of_unknown_overrides
from planewise.engines.plain_errors import plain_errors, refuse_strangers
from planewise.engines.precision import allow_tf32, precision
from planewise.engines.seen_patients import warn_of_seen_patients
from planewise.engines.settings_check import OTHER_TASK_FILES, check_settings, evaluated_settings
from planewise.engines.write_run import digest, write_run

#: Setting of bundles whose batches are whole series; cuDNN would search for algorithms at every new number of slices.
_FREE_LENGTH = "max_slices"


def start_run(
    output_dir: str | Path,
    seed: int,
    resume: bool | str = True,
    depends_on: Sequence[str | Path] = (),
    tf32: bool | str | None = None,
) -> None:
    """Record a run in its folder, and find out whether it resumes. Call it from a config's ``initialize``.

    It writes

    - ``config.yaml``: the configuration, including all overrides,
    - ``run.json``: seed, hash of the configuration, versions of the packages, git commit, number of processes, names of
      their devices, and the precision.

    A run that is started again in the same folder resumes from its last checkpoint if the hash is the same. The hash
    covers what determines the training: ``train`` and everything that it refers to. With several processes, the first one
    checks and writes while the others wait. The folder belongs to this run until its process ends (`planewise.locks`). If
    ``run.json`` cannot be read, it is written again if ``config.yaml`` has the same configuration.

    On a GPU, cuDNN tries its deterministic algorithms and uses the fastest, if all batches have the same shape.

    Args:
        output_dir: the run's folder.
        seed: seed of all randomness.
        resume: False starts over and ignores earlier files.
        depends_on: files whose content belongs to the configuration (the datalist).
        tf32: whether float32 products on CUDA may be rounded to TF32 (`allow_tf32`); None keeps PyTorch's setting.

    Raises:
        InputError: a setting is invalid (`check_settings`), or the folder contains another run, is in use, or is not
            writable. The message names the differences and the remedy.
    """
    plain_errors()
    refuse_strangers()
    parser = _checked_parser(follow_pretrained)
    set_determinism(seed)  # it also switches off cuDNN's search for the fastest algorithm
    if tf32 is not None:
        allow_tf32(tf32)
    torch.backends.cudnn.benchmark = parser is not None and _FREE_LENGTH not in parser
    computes_on = {"processes": idist.get_world_size(), **_hardware(parser)}
    if idist.get_rank() == 0:
        if parser is not None:
            warn_of_seen_patients(parser)
        config = {key: value for key, value in parser.get().items() if key != ConfigParser.meta_key} if parser else {}
        files = {Path(path).name: digest(path) for path in depends_on} | _auxiliary_task_files(parser)
        write_run(Path(output_dir), config, resume, files, {"seed": seed, **computes_on})
    idist.barrier()


def check_run(tf32: bool | str | None = None) -> None:
    """Apply the settings of the run that wrote the weights (`planewise.engines.follow_weights`), and refuse invalid
    settings before anything is read. Call it first in the ``initialize`` of a config that does not train.

    Args:
        tf32: as for `start_run`.

    Raises:
        InputError: a setting is invalid (`check_settings`).
    """
    plain_errors()
    _checked_parser(follow_weights)
    if tf32 is not None:
        allow_tf32(tf32)


def _checked_parser(follow: Callable[[ConfigParser, Sequence[str]], Any]) -> ConfigParser | None:
    """The running parser, with the settings of its weights, after a check of its settings; None outside a config."""
    warn_of_unknown_overrides(sys.argv)
    parser = _running_parser()
    if parser is not None:
        follow(parser, sys.argv)
        check_settings(evaluated_settings(parser))
    return parser


def _running_parser() -> ConfigParser | None:
    """The parser of the running configuration, including overrides.

    MONAI gives an expression no access to its own parser, however the run was started (command line, Python, MONAI
    Label), so this function searches the call stack for it.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, ConfigParser):
            return owner
        frame = frame.f_back
    return None


def _hardware(parser: ConfigParser | None) -> dict[str, Any]:
    """Names of the devices of all processes, and the precision, if the configuration sets them."""
    if parser is None or "device" not in parser:
        return {}
    device = torch.device(parser.get_parsed_content("device"))
    found = {"devices": idist.all_gather(_device_name(device))}
    if "amp" in parser:
        found["precision"] = precision(parser.get_parsed_content("amp"), device)
    return found


def _device_name(device: torch.device) -> str:
    if device.type == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    if device.type == "cpu" and (models := re.search(r"^model name\s*: (.+)$", _text("/proc/cpuinfo"), re.M)):
        return models[1]
    return str(device)


def _text(path: str) -> str:
    return Path(path).read_text() if Path(path).is_file() else ""


def _auxiliary_task_files(parser: ConfigParser | None) -> dict[str, Any]:
    """Map each setting that names files to their SHA-256 digests, in a run with two tasks; otherwise empty."""
    if parser is None or "transfer" not in parser or parser.get_parsed_content("transfer") != "multitask":
        return {}
    named = {name: parser.get_parsed_content(name) for name in OTHER_TASK_FILES}
    return {
        name: [digest(path) for path in ([value] if isinstance(value, str) else value)] for name, value in named.items()
    }
