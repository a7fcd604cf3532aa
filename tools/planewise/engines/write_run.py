"""Write a run's configuration into its folder, and compare it with that of an earlier run."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from planewise import __version__
from planewise.checksum import code_sha256, digest
from planewise.engines.checkpoint_files import BEST, LAST
from planewise.engines.plain_errors import after_refusal
from planewise.engines.references import reached
from planewise.engines.run_bundle import write_bundle
from planewise.engines.run_record import BUNDLE, config_file
from planewise.errors import InputError
from planewise.exams.sections import exams_in
from planewise.locks import claim_folder
from planewise.not_computed import NOT_COMPUTED, only_longer
from planewise.parse_bool import parse_bool
from planewise.reports.tables import write_json
from planewise.text_files import read_json, read_yaml

logger = logging.getLogger(__name__)

#: Target that only configs/multi_gpu_train.yaml names, for a run's network.
_PARALLEL_NETWORK = "planewise.engines.parallel_network"
#: The table whose order is that of the network's outputs.
_ORDERED = "structures"
#: Number of settings that a message about another configuration shows with their values.
_SHOWN = 5
_PACKAGES = ("monai", "torch", "pytorch-ignite", "numpy", "scipy", "itk-core", "pydicom", "nibabel")


def write_run(
    folder: Path,
    config: dict[str, Any],
    resume: bool | str,
    files: Mapping[str, Any],
    about: Mapping[str, Any],
    weights: Path,
    root: Path,
) -> None:
    """Write a run's ``bundle`` and ``run.json``, and reserve the folder until this process ends (`planewise.locks`).

    If the process is refused before the run writes anything else, the new files are removed (`after_refusal`).

    Args:
        folder: the run's folder; it is created if it does not exist.
        config: the whole configuration, including overrides.
        resume: False overwrites earlier files.
        files: maps the name of each file whose content belongs to the configuration to its `digest`.
        about: further entries of the record (seed, processes, devices).
        weights: folder of the run's weights. If this folder and ``models`` contain no weights, and there is no
            ``history.csv``, the earlier run ended in its first epoch and is replaced.
        root: folder of the run's bundle.

    Raises:
        InputError: the folder is in use or not writable, or contains the weights of another run. (A run that differs only
            in a smaller ``max_epochs`` is continued.)
    """
    settings = _computed(config)
    identity = hashlib.sha256(json.dumps([settings, files], sort_keys=True, default=str).encode()).hexdigest()
    record_file = folder / "run.json"
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    present = set(folder.glob("*"))
    claim_folder(folder)
    after_refusal.append(partial(_remove, folder, present, made))
    left = [folder / "history.csv", *(place / name for place in (weights, folder / "models") for name in (LAST, BEST))]
    trained = any(path.is_file() or path.is_symlink() for path in left)
    earlier: list[int] = []
    if parse_bool(resume, "resume") and record_file.is_file() and trained:
        previous = _previous(record_file, config_file(folder))
        earlier = previous.get("earlier_processes", [])
        if previous.get("processes", about.get("processes")) != about.get("processes"):
            earlier = [*earlier, previous["processes"]]
        before, now = _comparable(_computed(previous["config"])), _comparable(settings)
        # without a record, only the configuration can be compared, not the contents of the files
        same = identity == previous["configuration"] if previous["configuration"] else before == now
        turned = before.get(_ORDERED, now.get(_ORDERED)) != now.get(_ORDERED)  # the identity lacks the order
        if turned or not (same or _continues(before, now, previous, files)):
            raise InputError(
                f"{folder} contains a run with another configuration ({_differences(before, now, previous, files)}); "
                f"start over with `--resume false`, or name another --output_dir to keep both"
            )
    write_bundle(folder, _without_items(config), about, root)
    record = {
        "configuration": identity,
        **about,
        # the run was resumed with another number of processes
        **({"earlier_processes": earlier} if earlier else {}),
        "files": files,
        "packages": {"planewise": __version__} | {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "commit": _commit(),
        # a study compares these with the files that its next trainings would use
        "train.yaml": digest(root / "configs" / "train.yaml"),
        "code": code_sha256(),
    }
    write_json(record_file, record)


def write_exams(folder: Path, datasets: Mapping[str, Any]) -> None:
    """Add the numbers of exams in a run's datasets, by section, to its ``run.json``, if there is one. These can be fewer
    exams than in the datalist, for example because some have no label. A dataset without ``items`` is left out."""
    if (file := folder / "run.json").is_file():
        items = {name: getattr(dataset, "items", None) for name, dataset in datasets.items()}
        exams = {name: exams_in(items, name) for name, found in items.items() if isinstance(found, list)}
        write_json(file, read_json(file) | {"exams": exams})


def _remove(folder: Path, present: set[Path], made: Sequence[Path]) -> None:
    """Remove the files of `write_run` that were not present before, and the folders made for them, unless the run has
    written other files since."""
    own = {folder / name for name in ("run.json", BUNDLE, "run.lock")} - present
    if set(folder.glob("*")) - present <= own:
        for file in own:
            shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
        with suppress(OSError):
            for place in made:
                place.rmdir()


def _continues(before: dict, now: dict, record: dict, files: Mapping[str, Any]) -> bool:
    """Whether two runs learn from the same files and differ only because ``now`` has more epochs; the log says so."""
    if record.get("files") != files or not only_longer(before, now):
        return False
    logger.info(
        "max_epochs is raised from %d to %d; a schedule that depends on it continues as if this value had always applied",
        *(before["max_epochs"], now["max_epochs"]),
    )
    return True


def _previous(record_file: Path, config_file: Path) -> dict[str, Any]:
    """The record of an earlier run, with its ``config``. If the record is broken, its ``configuration`` is None.

    Raises:
        InputError: both the record and the configuration are broken.
    """
    config = record = None
    with suppress(InputError):
        config = read_yaml(config_file)
    with suppress(InputError):
        record = read_json(record_file)
    if isinstance(record, dict) and record.get("configuration"):
        return record | {"config": config if isinstance(config, dict) else {}}
    if not isinstance(config, dict):
        raise InputError(
            f"{record_file} and {config_file.name} next to it are broken, so it is unknown whether they belong to the "
            "same run; start over with `--resume false`, or name another --output_dir to keep both"
        )
    logger.warning("%s is broken; it is written again if the configuration is the same", record_file.name)
    return {"configuration": None, "config": config}


def _computed(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that determines the result: ``train``, and everything to which ``train`` and
    ``initialize`` refer.

    Settings that concern only an evaluation, or only several processes, are left out.
    """
    used = settings_that_train(config) - NOT_COMPUTED
    return {key: _in_one_process(value) for key, value in config.items() if key in used}


def settings_that_train(config: Mapping[str, Any]) -> set[str]:
    """The names to which ``train`` and ``initialize`` of a configuration refer; all names of one without ``train``."""
    return reached(["@train", "@initialize", "@tf32"], config) if "train" in config else set(config)


def _in_one_process(value: Any) -> Any:
    """The configuration without the changes that configs/multi_gpu_train.yaml makes."""
    if isinstance(value, Mapping):
        if value.get("_target_") == _PARALLEL_NETWORK:
            return value.get("network")
        return {key: _in_one_process(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_in_one_process(entry) for entry in value]
    return value


def _comparable(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as the run's folder has it, except for the table whose order counts, which becomes a text."""
    config = _without_items(config)
    return config | {_ORDERED: str(config[_ORDERED])} if _ORDERED in config else config


def _without_items(value: Any) -> Any:
    """Replace each list of data items, which contain paths, by its length."""
    if isinstance(value, Mapping):
        return {str(key): _without_items(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(entry, Mapping) and "image" in entry for entry in value):
            return f"{len(value)} items"
        return [_without_items(entry) for entry in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _differences(before: dict, now: dict, record: dict, files: Mapping[str, Any]) -> str:
    """In words: settings with both values, then the parts that changed (network, loss), then files. Settings that only one
    configuration has follow from other parts, so they are listed only if nothing else differs."""
    if only_longer(*({"max_epochs": each.get("max_epochs")} for each in (before, now))):
        before = {**before, "max_epochs": now["max_epochs"]}  # a run may be made longer
    other = [f"{name} changed" for name in files if "files" in record and record["files"].get(name) != files[name]]
    changed = [key for key in before if key in now and before[key] != now[key]]
    parts = [key for key in changed if isinstance(before[key], (dict, list)) or isinstance(now[key], (dict, list))]
    shown = [f"{key}: {before[key]} -> {now[key]}" for key in changed if key not in parts]
    if len(shown) > _SHOWN:
        shown[_SHOWN:] = [f"{len(shown) - _SHOWN} more settings"]
    if parts:
        shown.append(f"changed: {', '.join(parts)}")
    if not shown + other:
        for what, one, another in (("without", before, now), ("with", now, before)):
            if keys := [key for key in one if key not in another]:
                shown.append(f"{what} {', '.join(keys)}")
    return "; ".join(shown + other) or "of another version"


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
        commit = git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
        # new files are changes, too: the loss and the bundle of a user's own method
        package = here.parents[1]
        new = (f"{package}/*.py", f"{(package / 'bundles').resolve()}/*/configs/*")
        added = git("ls-files", "--others", "--exclude-standard", "--", *new)
        return f"{commit.removesuffix('-dirty')}-dirty" if added else commit
    except (OSError, subprocess.SubprocessError):
        return None
