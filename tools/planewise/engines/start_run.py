"""Start a bundle's run: check the settings, fix the seed, record the configuration, and decide whether to resume."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from monai.bundle import ConfigParser
from monai.utils import ensure_tuple, set_determinism

from planewise import __version__
from planewise.engines.check_settings import OTHER_TASK_FILES, check_settings, checked
from planewise.engines.checkpoints import BEST, LAST
from planewise.engines.plain_errors import plain_errors, refuse_strangers
from planewise.engines.precision import allow_tf32, precision
from planewise.engines.run_bundle import bundle_root, follow_pretrained, follow_weights, write_bundle
from planewise.engines.run_record import as_table, config_file, read_table
from planewise.engines.running_parser import running_parser, running_workflow
from planewise.engines.weights_settings import differ, reached
from planewise.errors import InputError
from planewise.files.checksum import code_sha256, digest
from planewise.files.datalists import channels_in
from planewise.files.text import read_yaml
from planewise.locks import claim_folder
from planewise.not_computed import NOT_COMPUTED
from planewise.parse_bool import parse_bool
from planewise.reports.tables import write_json

logger = logging.getLogger(__name__)

_PACKAGES = ("monai", "torch", "pytorch-ignite", "numpy", "scipy", "itk-core", "pydicom", "nibabel")


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

    A run that is started again in the same folder resumes from its last checkpoint if everything that determines the
    training is equal: ``train`` and all that it refers to, apart from a larger ``max_epochs``; the contents of the files;
    and the number of processes. A run that ended before its first checkpoint is replaced. The folder is reserved for this
    run until its process ends (`planewise.locks`). With several processes, the first one checks and writes while the others
    wait.

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
        config = {key: value for key, value in parser.get().items() if key != ConfigParser.meta_key}
        files = {Path(path).name: digest(path) for path in map(str, depends_on)} | _auxiliary_task_files(parser)
        channels = next(filter(None, map(channels_in, map(str, depends_on))), None)
        about = {"seed": seed, **computes_on, "files": files} | ({"channels": channels} if channels else {})
        folder = Path(str(output_dir))
        claim_folder(folder)
        if parse_bool(resume, "resume"):
            _refuse_another_run(folder, Path(parser.get_parsed_content("ckpt_dir", default=folder)), config, about)
        root = bundle_root(parser)
        write_bundle(folder, _without_items(config), about, root)
        _write_record(folder, config, about, root)
    idist.barrier()


def check_run() -> None:
    """Prepare a run that does not train. Call it first in a config's ``initialize``.

    The settings of the run that trained the weights are applied (`planewise.engines.run_bundle`), and unknown names and
    invalid settings are refused before any image is read. The setting ``tf32``, if the config has it, acts as in `start_run`.

    Raises:
        InputError: a setting is unknown or invalid, or the settings of ``train.yaml`` are missing.
    """
    plain_errors()
    parser = _checked_parser(follow_weights)
    if (tf32 := parser.get_parsed_content("tf32", default=None)) is not None:
        allow_tf32(tf32)


def _checked_parser(follow: Callable[[ConfigParser], Any]) -> ConfigParser:
    """Check the settings of the running parser, apply those of the weights, and return the parser, which is empty outside
    a config."""
    parser = running_parser() or ConfigParser({})
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
    name = torch.cuda.get_device_name(device) if device.type == "cuda" and torch.cuda.is_available() else str(device)
    found = {"devices": idist.all_gather(name)}
    if "amp" in parser:
        found["precision"] = precision(parser.get_parsed_content("amp"), device)
    return found


def _auxiliary_task_files(parser: ConfigParser) -> dict[str, Any]:
    """For a run with two tasks, map each setting that names files to the SHA-256 digests of these files; otherwise empty."""
    if parser.get_parsed_content("transfer", default=None) != "multitask":
        return {}
    return {name: [digest(path) for path in ensure_tuple(parser.get_parsed_content(name))] for name in OTHER_TASK_FILES}


def _refuse_another_run(folder: Path, weights: Path, config: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Refuse to resume a run that has trained with another configuration, with other files or with another number of
    processes."""
    left = [folder / "history.csv", *(place / name for place in (weights, folder / "models") for name in (LAST, BEST))]
    if not any(path.is_file() or path.is_symlink() for path in left):
        return
    remedy = "start over with `--resume false`, or name another --output_dir to keep both"
    try:
        record, settings = read_table(folder / "run.json"), config_file(folder)
        before, now = _that_train(as_table(read_yaml(settings), settings)), _that_train(_without_items(config))
    except InputError as error:
        raise InputError(f"it is unknown with which settings {folder} was trained ({error}); {remedy}") from error
    epochs = before.get("max_epochs"), now.get("max_epochs")
    if isinstance(epochs[0], int) and isinstance(epochs[1], int) and epochs[0] < epochs[1]:
        before["max_epochs"] = epochs[1]
        logger.info("max_epochs is raised from %d to %d, and the schedule goes on as if it had always been so", *epochs)
    changed = {key: (before.get(key), now.get(key)) for key in before | now if differ(before.get(key), now.get(key))}
    found = [f"{key}: {one!s:.40} -> {other!s:.40}" for key, (one, other) in changed.items()]
    found += [f"contents of {name}" for name, sum_ in about["files"].items() if record["files"].get(name) != sum_]
    processes = record.get("processes", about["processes"]), about["processes"]
    if processes[0] != processes[1]:
        found.append("number of processes: {} -> {}".format(*processes))
    if found:
        raise InputError(f"{folder} contains a run with another configuration ({'; '.join(found)}); {remedy}")


def _that_train(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that determines the result: ``train``, and everything to which ``train`` and
    ``initialize`` refer; all of one without ``train``."""
    used = (reached(["@train", "@initialize", "@tf32"], config) if "train" in config else {*config}) - NOT_COMPUTED
    return {key: value for key, value in config.items() if key in used}


def _without_items(value: Any) -> Any:
    """A configuration as YAML can hold it, with the length of each list of data items, which contain paths, in its place."""
    if isinstance(value, Mapping):
        return {str(key): _without_items(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(entry, Mapping) and "image" in entry for entry in value):
            return f"{len(value)} items"
        return [_without_items(entry) for entry in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _write_record(folder: Path, config: Mapping[str, Any], about: Mapping[str, Any], root: Path) -> None:
    settings = json.dumps([_that_train(_without_items(config)), about["files"]], sort_keys=True)
    record = {
        "configuration": hashlib.sha256(settings.encode()).hexdigest(),
        **about,
        "packages": {"planewise": __version__} | {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "commit": _commit(),
        # a study compares these with the files that its next trainings would use
        "train.yaml": digest(root / "configs" / "train.yaml"),
        "code": code_sha256(),
    }
    write_json(folder / "run.json", record)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The git commit of the running code, marked if the code has changed since; None if git does not track it.

    A packaged bundle or an environment may be inside another repository, whose commit does not identify the code.
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
