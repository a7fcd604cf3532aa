"""What every bundle run does first: check the overrides, fix the seed, write down what is run, decide on resuming."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
import torch.distributed as dist
import yaml
from monai.bundle import ConfigParser
from monai.bundle.reference_resolver import ReferenceResolver
from monai.utils import set_determinism

from planewise import __version__
from planewise.engines.follow_weights import follow_pretrained, follow_weights
from planewise.engines.not_computed import NOT_COMPUTED
from planewise.engines.overrides import config_file_text, unknown_overrides
from planewise.engines.precision import precision
from planewise.engines.quiet import keep_quiet
from planewise.engines.seen_patients import warn_of_seen_patients
from planewise.engines.settings_check import OTHER_TASK_FILES, check_settings, evaluated_settings
from planewise.errors import InputError
from planewise.locks import claim_folder
from planewise.switches import switched_on
from planewise.whole_files import unwritable, written_whole

logger = logging.getLogger(__name__)

#: Targets that only configs/multi_gpu_train.yaml names, for a run's network and validation.
_PARALLEL_NETWORK, _SAME_BUFFERS = "planewise.engines.parallel_network", "planewise.engines.SameBuffersHandler"
#: What MONAI says of names in a configuration that lead nowhere, and Python of arguments that a target has not.
_SLIPS = re.compile(
    r"Cannot locate class or function path|is not (found|defined) in the config|detected circular references"
)
_WRONG_ARGUMENTS = re.compile(r"unexpected keyword argument|missing \d+ required")
#: Seconds that a process which lost another waits to be ended by torchrun, so that the other's reason is the last word.
_GRACE = 5.0
_PACKAGES = ("monai", "torch", "pytorch-ignite", "numpy", "scipy", "itk-core", "pydicom", "nibabel")


def start_run(
    output_dir: str | Path, seed: int, resume: bool | str = True, depends_on: Sequence[str | Path] = ()
) -> None:
    """Call it from a config's ``initialize``. In the run's folder it writes

    - ``config.yaml``: the configuration with every override in it,
    - ``run.json``: seed, hash of the configuration, versions of the packages, git commit, the number of processes, the names
      of their devices and the precision in which they compute.

    A run that is started again in the same folder resumes from its last checkpoint if the hash is the same. The hash is
    of what is trained: of ``train`` and all that it refers to. With several processes, the first one checks and writes
    while the others wait. The folder belongs to this run until its process ends (`planewise.locks`). A ``run.json`` that
    cannot be read is made again if ``config.yaml`` shows the same configuration.

    Args:
        output_dir: the run's folder.
        seed: seed of all randomness.
        resume: False starts over whatever is there.
        depends_on: files whose content belongs to the configuration (the datalist).

    Raises:
        InputError: a setting cannot be (`check_settings`); the folder holds another run, is in use by one, or cannot be
            written to. The message says what differs and what to do.
    """
    plain_errors()
    refuse_strangers()
    parser = _checked_parser(follow_pretrained)
    set_determinism(seed)
    computes_on = {"processes": idist.get_world_size(), **_hardware(parser)}
    if idist.get_rank() == 0:
        if parser is not None:
            warn_of_seen_patients(parser)
        config = {key: value for key, value in parser.get().items() if key != ConfigParser.meta_key} if parser else {}
        _write_down(
            Path(output_dir), config, resume, depends_on, _other_task_files(parser), {"seed": seed, **computes_on}
        )
    idist.barrier()


def check_run() -> None:
    """Call it first in the ``initialize`` of a config that trains nothing: take the settings of the weights' run
    (`planewise.engines.follow_weights`), and refuse what cannot be, before anything is read.

    Raises:
        InputError: a setting cannot be (`check_settings`).
    """
    plain_errors()
    _checked_parser(follow_weights)


def _checked_parser(follow: Callable[[ConfigParser, Sequence[str]], Any]) -> ConfigParser | None:
    """The parser that runs, with the settings of its weights, when its settings can be; None outside of a config."""
    warn_of_unknown_overrides(sys.argv)
    parser = _running_parser()
    if parser is not None:
        follow(parser, sys.argv)
        check_settings(evaluated_settings(parser))
    return parser


def _write_down(
    folder: Path,
    config: dict[str, Any],
    resume: bool | str,
    depends_on: Sequence[str | Path],
    files: dict[str, Any],
    about: dict[str, Any],
) -> None:
    settings = _computed(config)
    content = {Path(path).name: _digest(path) for path in depends_on} | files
    identity = hashlib.sha256(json.dumps([settings, content], sort_keys=True, default=str).encode()).hexdigest()
    record_file, config_file = folder / "run.json", folder / "config.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        claim_folder(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    if switched_on(resume, "resume") and record_file.is_file():
        previous = _previous(record_file, config_file)
        before = _computed(previous["config"])
        # without a record only the configuration can be compared, not the files' contents
        same = (
            identity == previous["configuration"] if previous["configuration"] else before == _without_items(settings)
        )
        if not same:
            raise InputError(
                f"{folder} holds a run with another configuration ({_differences(before, settings, previous, content)}); "
                f"`--resume false` starts over, another --output_dir keeps both"
            )
    with written_whole(config_file) as part:
        part.write_text(yaml.safe_dump(_without_items(config), sort_keys=False, width=120))
    record = {
        "configuration": identity,
        **about,
        "files": content,
        "packages": {"planewise": __version__} | {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "commit": _commit(),
    }
    with written_whole(record_file) as part:
        part.write_text(json.dumps(record, indent=1))


def _previous(record_file: Path, config_file: Path) -> dict[str, Any]:
    """What an earlier run wrote down: its record, with its ``config``; no ``configuration`` where the record is broken.

    Raises:
        InputError: the record is broken, and the configuration too.
    """
    try:
        config = yaml.safe_load(config_file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        config = None
    try:
        record = json.loads(record_file.read_text())
        if isinstance(record, dict) and record.get("configuration"):
            return record | {"config": config if isinstance(config, dict) else {}}
    except (UnicodeDecodeError, json.JSONDecodeError):
        pass
    if not isinstance(config, dict):
        raise InputError(
            f"{record_file} and {config_file.name} beside it are broken, so nobody can say whether this is the same run; "
            f"`--resume false` starts over, another --output_dir keeps both"
        )
    logger.warning("%s is broken; it is written again if the configuration is the same", record_file.name)
    return {"configuration": None, "config": config}


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


def plain_errors() -> None:
    """Let an `InputError` that ends the process print its message alone; MONAI would wrap it in pages of traceback.

    ``PLANEWISE_DEBUG=1`` keeps the traceback. With several processes, the message names the
    process that failed, and torchrun prints it last. The log is quiet from here on (`keep_quiet`).
    """
    keep_quiet()
    if os.environ.get("PLANEWISE_DEBUG") or getattr(sys.excepthook, "planewise", False):
        return
    previous = sys.excepthook
    alone = int(os.environ.get("WORLD_SIZE", 1)) == 1
    who = "planewise" if alone else f"planewise, process {os.environ.get('RANK')} of {os.environ['WORLD_SIZE']}"

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        causes = _causes(error)
        plain = next((cause for cause in causes if isinstance(cause, InputError)), None) or _slip_in_config(causes)
        if plain is not None:
            print(f"{who}: {plain}", file=sys.stderr)
        elif not alone and (lost := next(filter(_lost_connection, causes), None)):
            print(f"{who}: another process is gone or out of reach: {lost}", file=sys.stderr, flush=True)
            time.sleep(_GRACE)
        else:
            previous(kind, error, trace)
        _tell_torchrun(f"{who}: {plain or causes[-1]}")

    hook.planewise = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def _slip_in_config(causes: Sequence[BaseException]) -> str | None:
    """What MONAI says of a name or a reference in a configuration that leads nowhere, in a line; None of anything else."""
    for cause, outer in zip(causes, [None, *causes], strict=False):
        text = str(cause.args[0] if cause.args else cause)
        slip = _SLIPS.search(text)
        made = outer is not None and str(outer).startswith("Failed to instantiate component")
        if slip or (made and isinstance(cause, TypeError) and _WRONG_ARGUMENTS.search(text)):
            text = text.splitlines()[0].rstrip(".")
            return f"a slip in the configuration or its overrides: {text}; PLANEWISE_DEBUG=1 shows where"
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """An error and those that it was raised from, the first of them last."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    return causes


def _lost_connection(error: BaseException) -> bool:
    """Whether the error means that another process has ended; Gloo (on CPUs) has no error class of its own for it."""
    return isinstance(error, RuntimeError) and "gloo/transport" in str(error)


def _tell_torchrun(reason: str) -> None:
    """Write the reason to torchrun's error file, in torchrun's format; torchrun shows it last."""
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        extra = {"py_callstack": reason, "timestamp": str(int(time.time()))}
        Path(file).write_text(json.dumps({"message": {"message": reason, "extraInfo": extra}}))


def warn_of_unknown_overrides(arguments: Sequence[str]) -> list[str]:
    """Warn of names on the command line that no config key takes; MONAI silently accepts ``--sigmaa 3``.

    Args:
        arguments: the command line of ``python -m monai.bundle run``; without ``--config_file`` nothing is checked.

    Returns:
        The unknown names; each is also logged as a warning, with the nearest known name.
    """
    files = config_file_text(arguments)
    if files is None:
        return []
    unknown = unknown_overrides(arguments, ConfigParser.load_config_files(yaml.safe_load(files)))
    for name, near in unknown.items():
        hint = f"; did you mean --{near}?" if near else ""
        logger.warning("--%s is not a setting of this config and has no effect%s", name, hint)
    return list(unknown)


def _running_parser() -> ConfigParser | None:
    """The parser of the configuration that is being run, overrides included.

    MONAI offers an expression no way to its own parser, however the run was started (command line, Python, MONAI
    Label), so it is looked up among the callers.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, ConfigParser):
            return owner
        frame = frame.f_back
    return None


def _computed(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that decides what is computed: ``train`` and all that it and ``initialize`` refer to.

    What is there for evaluation alone, or for several processes, leaves it as it is.
    """
    reached, waiting = set(), ["train", "initialize"] if "train" in config else list(config)
    while waiting:
        name = waiting.pop()
        if name in config and name not in reached:
            reached.add(name)
            references = ReferenceResolver.find_refs_in_config(config[name], name)
            waiting += [re.split("::|#", reference)[0] for reference in references]
    return {key: _in_one_process(value) for key, value in config.items() if key in reached - NOT_COMPUTED}


def _in_one_process(value: Any) -> Any:
    """A configuration as it is without configs/multi_gpu_train.yaml."""
    if isinstance(value, Mapping):
        if value.get("_target_") == _PARALLEL_NETWORK:
            return value.get("network")
        return {key: _in_one_process(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [
            _in_one_process(entry)
            for entry in value
            if not (isinstance(entry, Mapping) and entry.get("_target_") == _SAME_BUFFERS)
        ]
    return value


def _hardware(parser: ConfigParser | None) -> dict[str, Any]:
    """Names of the devices of all processes, and the precision, as far as the configuration says."""
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


def _without_items(value: Any) -> Any:
    """The config with lists of data items (which hold paths) replaced by their number."""
    if isinstance(value, Mapping):
        return {str(key): _without_items(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(entry, Mapping) and "image" in entry for entry in value):
            return f"{len(value)} items"
        return [_without_items(entry) for entry in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _differences(before: dict, now: dict, record: dict, content: dict) -> str:
    now = _without_items(now)
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    files = [name for name in content if "files" in record and record["files"].get(name) != content[name]]
    shown = [
        f"{key}: {before.get(key)} -> {now.get(key)}"
        if not isinstance(now.get(key, before.get(key)), (dict, list))
        else key
        for key in keys
    ]
    return "; ".join(shown[:5] + [f"{name} changed" for name in files]) or "of another version"


def _other_task_files(parser: ConfigParser | None) -> dict[str, Any]:
    """Name of a setting to the content of the files that it names, in a run of two tasks."""
    if parser is None or "transfer" not in parser or parser.get_parsed_content("transfer") != "multitask":
        return {}
    named = {name: parser.get_parsed_content(name) for name in OTHER_TASK_FILES}
    return {
        name: [_digest(path) for path in ([value] if isinstance(value, str) else value)]
        for name, value in named.items()
    }


def _digest(path: str | Path) -> str | None:
    path = Path(path).expanduser()
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The git commit of the code that runs, with a mark if it was changed since; None where git does not keep it.

    A packaged bundle, or an environment, may lie inside somebody else's repository, whose commit says nothing.
    """
    here = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None
