"""Start a bundle's run: check the settings, fix the seed, record the configuration, and decide whether to resume."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from fire.parser import DefaultParseValue  # `monai.bundle run` reads its options with fire
from monai.bundle import ConfigParser
from monai.utils import ensure_tuple, set_determinism

from planewise.checksum import digest
from planewise.engines.check_settings import OTHER_TASK_FILES, check_settings, checked
from planewise.engines.overrides import overrides
from planewise.engines.plain_errors import plain_errors, refuse_strangers
from planewise.engines.precision import allow_tf32, precision
from planewise.engines.run_bundle import bundle_root, follow_pretrained, follow_weights
from planewise.engines.seen_patients import warn_of_seen_patients
from planewise.engines.write_run import write_run
from planewise.errors import InputError
from planewise.exams.sections import channels_in
from planewise.networks.pretrained import NO_WEIGHTS
from planewise.not_computed import PATHS
from planewise.running_parser import running_parser, running_workflow

logger = logging.getLogger(__name__)


def start_run(
    output_dir: str | Path,
    seed: int,
    resume: bool | str = True,
    depends_on: Sequence[str | Path] = (),
    tf32: bool | str | None = None,
) -> None:
    """Record a run in its folder, and decide whether it resumes. Call it from a config's ``initialize``.

    Its folder gets:

    - ``bundle``: the configuration, including all overrides, and the inference config of these weights (`write_bundle`),
    - ``run.json``: seed, hash of the configuration, versions of the packages, git commit, number of processes, names of
      their devices, and the precision.

    A run that is started again in the same folder resumes from its last checkpoint if the hash is the same. The hash
    covers everything that determines the training: ``train`` and all that it refers to. A run that ended before its first
    checkpoint is replaced. The folder is reserved for this run until its process ends (`planewise.locks`). With several
    processes, the first one checks and writes while the others wait.

    Args:
        output_dir: the run's folder.
        seed: seed of all randomness.
        resume: False starts over, without regard to earlier files.
        depends_on: files whose content belongs to the configuration (the datalist).
        tf32: whether float32 products on CUDA may be rounded to TF32 (`allow_tf32`); None keeps PyTorch's setting.

    Raises:
        InputError: a setting is unknown or invalid (`planewise.engines.check_settings`), or the folder contains another
            trained run, is in use, or is not writable.
    """
    plain_errors()
    refuse_strangers()
    parser = _checked_parser(follow_pretrained)
    # this also turns off cuDNN's search for the fastest algorithm: on an H100, it saves 2 to 4 % of a step, but takes 10 to
    # 13 s of each run, and a resumed run could choose other algorithms
    set_determinism(seed)
    if tf32 is not None:
        allow_tf32(tf32)
    computes_on = {"processes": idist.get_world_size(), **_hardware(parser)}
    if idist.get_rank() == 0:
        warn_of_seen_patients(parser)
        if parser.get("pretrained", "not a setting") in NO_WEIGHTS:
            logger.info("--pretrained is not set: no weights of an earlier training are copied")
        config = {key: value for key, value in parser.get().items() if key != ConfigParser.meta_key}
        files = {Path(path).name: digest(path) for path in map(str, depends_on)} | _auxiliary_task_files(parser)
        weights = parser.get_parsed_content("ckpt_dir", default=None)
        channels = next(filter(None, map(channels_in, map(str, depends_on))), None)
        about = {"seed": seed, **computes_on} | ({"channels": channels} if channels else {})
        folder = Path(str(output_dir))
        write_run(folder, config, resume, files, about, Path(weights or folder / "models"), bundle_root(parser))
    idist.barrier()


def check_run(tf32: bool | str | None = None) -> None:
    """Prepare a run that does not train. Call it first in a config's ``initialize``.

    The settings of the run that trained the weights are applied (`planewise.engines.run_bundle`), and unknown names and
    invalid settings are refused before any image is read. The setting ``tf32``, if the config has it, acts as in `start_run`.

    Args:
        tf32: used in place of the config's setting; earlier configs pass it.

    Raises:
        InputError: a setting is unknown or invalid, or the settings of ``train.yaml`` are missing.
    """
    plain_errors()
    parser = _checked_parser(follow_weights)
    if tf32 is None:
        tf32 = parser.get_parsed_content("tf32", default=None)
    if tf32 is not None:
        allow_tf32(tf32)


def _checked_parser(follow: Callable[[ConfigParser], Any]) -> ConfigParser:
    """Check the settings of the running parser, apply those of the weights, and return the parser, which is empty outside
    a config."""
    parser = running_parser()
    if parser is None:
        parser = ConfigParser({})
    else:
        _refuse_cut_values()
    config = parser.get()
    if "evaluate" in config and "train" not in config:
        raise InputError(
            "evaluate.yaml lacks the settings of train.yaml, which it needs; run it with both files, train.yaml first: "
            """--config_file "['configs/train.yaml','configs/evaluate.yaml']\""""
        )
    _find_bundle(parser)
    parser.update(checked(parser))
    workflow = running_workflow()
    # train_and_evaluate: the weights in the folder are an earlier run's, and this run trains its own
    if workflow is None or follow is follow_pretrained or "start_run(" not in str(config.get(workflow.run_id)):
        follow(parser)
    check_settings(parser)
    return parser


def _refuse_cut_values() -> None:
    """Refuse a value that Fire, with which MONAI reads its options, changes: ``run#1`` becomes ``run``, and the folder
    ``1.10`` becomes ``1.1``, so a second run would resume the first one's."""
    if Path(sys.argv[0]).parent.name != "bundle":  # another program than `python -m monai.bundle`
        return
    for name, value in overrides(sys.argv[1:]):
        read = DefaultParseValue(value)
        number = isinstance(read, (int, float)) and not isinstance(read, bool) and name in PATHS
        if (number and str(read) != value) or (isinstance(read, str) and "#" in value and read != value):
            raise InputError(f"--{name} {value}: MONAI's command line would read it as {read}; write ./{value}")


def _find_bundle(parser: ConfigParser) -> None:
    """Set ``bundle_root`` to the bundle of the running config if the run starts in another folder. Its default is the working
    folder, which may be another bundle or none. If the working folder is a bundle, and the config's folder has no
    metadata.json, the config belongs to the bundle in the working folder."""
    workflow = running_workflow()
    if parser.get("bundle_root") != "." or workflow is None:
        return
    folder = Path(workflow.config_root_path).absolute().parent
    if folder.resolve() == Path.cwd():
        return
    needed = "metadata.json" if Path("configs/train.yaml").is_file() else "train.yaml"
    if (folder / "configs" / needed).is_file():
        parser.update({"bundle_root": str(folder)})


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
