"""Start a bundle's run: check the settings, fix the seed, record the configuration, and decide whether to resume."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet

import ignite.distributed as idist
import torch
from monai.bundle import ConfigParser
from monai.utils import ensure_tuple, set_determinism

from planewise.checksum import digest
from planewise.engines.follow_weights import configs_beside, follow_pretrained, follow_weights
from planewise.engines.overrides import (
    config_files,
    overrides,
    refuse_idle_run,
    refuse_overlay_first,
    warn_of_idle_overrides,
    warn_of_unknown_overrides,
    warn_of_unknown_settings,
    with_args_file,
)
from planewise.engines.plain_errors import plain_errors, refuse_strangers
from planewise.engines.precision import allow_tf32, precision
from planewise.engines.seen_patients import warn_of_seen_patients
from planewise.engines.settings_check import (
    OTHER_TASK_FILES,
    check_plain_settings,
    check_settings,
    evaluated_settings,
    with_words,
)
from planewise.engines.write_run import write_run
from planewise.engines.written_weights import refuse_unwritten_weights
from planewise.errors import InputError
from planewise.exams.sections import channels_in
from planewise.networks.pretrained import NO_WEIGHTS
from planewise.not_computed import PATHS
from planewise.running_parser import running_folder, running_parser

logger = logging.getLogger(__name__)

#: Running configs whose overrides were checked: ``train_and_evaluate`` calls `check_run` and `start_run`, but warns once.
_warned: WeakSet[ConfigParser] = WeakSet()


def start_run(
    output_dir: str | Path,
    seed: int,
    resume: bool | str = True,
    depends_on: Sequence[str | Path] = (),
    tf32: bool | str | None = None,
) -> None:
    """Record a run in its folder, and decide whether it resumes. Call it from a config's ``initialize``.

    Two files are written:

    - ``config.yaml``: the configuration, including all overrides,
    - ``run.json``: seed, hash of the configuration, versions of the packages, git commit, number of processes, names of
      their devices, and the precision.

    A run that is started again in the same folder resumes from its last checkpoint if the hash is the same. The hash
    covers everything that determines the training: ``train`` and all that it refers to. A run that ended before its first
    checkpoint is replaced. A broken ``run.json`` is written again if ``config.yaml`` has the same configuration. The
    folder is reserved for this run until its process ends (`planewise.locks`). With several processes, the first one
    checks and writes while the others wait.

    Args:
        output_dir: the run's folder.
        seed: seed of all randomness.
        resume: False starts over, without regard to earlier files.
        depends_on: files whose content belongs to the configuration (the datalist).
        tf32: whether float32 products on CUDA may be rounded to TF32 (`allow_tf32`); None keeps PyTorch's setting.

    Raises:
        InputError: a setting is invalid (`check_settings`), no handler would write weights (`refuse_unwritten_weights`), or
            the folder contains another trained run, is in use, or is not writable. The message names the differences and
            the remedy.
    """
    plain_errors()
    refuse_strangers()
    parser = running_parser() or ConfigParser({})
    before = {str(parser.get_parsed_content(name)): name for name in ("output_dir", "datalist") if name in parser.get()}
    parser = _checked_parser(follow_pretrained)
    # MONAI made a number of --output_dir 7, and another path of --datalist 'set#1.json'
    output_dir, *depends_on = (
        parser.get_parsed_content(before[str(path)]) if str(path) in before else path
        for path in (output_dir, *depends_on)
    )
    # this also turns off cuDNN's search for the fastest algorithm: on an H100, it saves 2 to 4 % of a step, but takes 10 to
    # 13 s of each run, and a resumed run could choose other algorithms
    set_determinism(seed)
    if tf32 is not None:
        allow_tf32(tf32)
    computes_on = {"processes": idist.get_world_size(), **_hardware(parser)}
    if idist.get_rank() == 0:
        refuse_unwritten_weights(parser.get())
        warn_of_seen_patients(parser)
        if parser.get("pretrained", "not a setting") in NO_WEIGHTS:
            logger.info("--pretrained is not set: no weights of an earlier training are copied")
        paths = {
            key: parser.get_parsed_content(key) for key in PATHS & parser.get().keys() if r"\x23" in str(parser[key])
        }
        config = {key: value for key, value in (parser.get() | paths).items() if key != ConfigParser.meta_key}
        files = {Path(path).name: digest(path) for path in depends_on} | _auxiliary_task_files(parser)
        weights = parser.get_parsed_content("ckpt_dir", default=None)
        channels = next(filter(None, map(channels_in, depends_on)), None)
        about = {"seed": seed, **computes_on} | ({"channels": channels} if channels else {})
        write_run(Path(output_dir), config, resume, files, about, Path(weights or Path(output_dir) / "models"))
    idist.barrier()


def check_run(tf32: bool | str | None = None) -> None:
    """Prepare a run that does not train. Call it first in a config's ``initialize``.

    The settings of the run that trained the weights are applied (`planewise.engines.follow_weights`), and invalid
    settings are refused before any data is read. The setting ``tf32``, if the config has it, acts as in `start_run`.

    Args:
        tf32: used in place of the config's setting; earlier configs pass it.

    Raises:
        InputError: a setting is invalid (`check_settings`), or the settings of ``train.yaml`` are missing.
    """
    plain_errors()
    parser = _checked_parser(follow_weights)
    if tf32 is None:
        tf32 = parser.get_parsed_content("tf32", default=None)
    if tf32 is not None:
        allow_tf32(tf32)


def _checked_parser(follow: Callable[[ConfigParser, Sequence[str]], Any]) -> ConfigParser:
    """Apply the settings of the weights to the running parser, check all settings, and return the parser, which is empty
    outside a config."""
    parser = running_parser() or ConfigParser({})
    if "evaluate" in parser and "train" not in parser:
        raise InputError(
            "evaluate.yaml lacks the settings of train.yaml, which it needs; run it with both files, train.yaml first: "
            """--config_file "['configs/train.yaml','configs/evaluate.yaml']\""""
        )
    arguments = with_args_file(sys.argv)
    refuse_overlay_first(arguments)
    first = parser not in _warned
    if first:
        warn_of_unknown_overrides(arguments)
    _find_bundle(parser, arguments)
    _parse_words(parser, arguments)
    refuse_idle_run(arguments, parser.get())
    if first:
        _warned.add(parser)
        warn_of_idle_overrides(arguments, parser.get())
        if not config_files(arguments):
            warn_of_unknown_settings(parser.get(), configs_beside(parser) or {"running": parser.get()})
    check_plain_settings(parser.get())  # before they are compared with the settings of the weights
    follow(parser, arguments)
    check_settings(evaluated_settings(parser))
    return parser


def _find_bundle(parser: ConfigParser, arguments: Sequence[str]) -> None:
    """Set ``bundle_root`` to the bundle of the running config if the run starts in another folder. Its default is the working
    folder, which may be another bundle or none. If the working folder is a bundle, and the config's folder has no
    metadata.json, the config belongs to the bundle in the working folder."""
    folder, named = running_folder(), any(name == "bundle_root" for name, _ in overrides(arguments))
    if parser.get("bundle_root") != "." or named or folder is None or folder.resolve() == Path.cwd():
        return
    needed = "metadata.json" if Path("configs/train.yaml").is_file() else "train.yaml"
    if (folder / "configs" / needed).is_file():
        parser.update({"bundle_root": str(folder)})


def _parse_words(parser: ConfigParser, arguments: Sequence[str]) -> None:
    """Parse the words true, false and null of the command line."""
    config = parser.get()
    parsed = with_words(config, arguments)
    if parsed is not config:
        parser.set(parsed)  # this also drops its cached objects


def _hardware(parser: ConfigParser) -> dict[str, Any]:
    """The names of all processes' devices, and the precision, if the configuration sets them."""
    if "device" not in parser:
        return {}
    device = torch.device(parser.get_parsed_content("device"))
    found = {"devices": idist.all_gather(_device_name(device))}
    if "amp" in parser:
        found["precision"] = precision(parser.get_parsed_content("amp"), device)
    return found


def _device_name(device: torch.device) -> str:
    if device.type == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    cores = Path("/proc/cpuinfo")
    text = cores.read_text() if device.type == "cpu" and cores.is_file() else ""
    model = re.search(r"^model name\s*: (.+)$", text, re.M)
    return model[1] if model else str(device)


def _auxiliary_task_files(parser: ConfigParser) -> dict[str, Any]:
    """For a run with two tasks, map each setting that names files to the SHA-256 digests of these files; otherwise empty."""
    if parser.get_parsed_content("transfer", default=None) != "multitask":
        return {}
    return {name: [digest(path) for path in ensure_tuple(parser.get_parsed_content(name))] for name in OTHER_TASK_FILES}
