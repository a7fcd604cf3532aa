"""What every bundle run does first: check the overrides, fix the seed, write down what is run, decide on resuming."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from planewise.errors import InputError

logger = logging.getLogger(__name__)

#: Settings that change where and how a run is carried out, not what it computes: a run resumes across them.
NOT_COMPUTED = frozenset(
    (
        "bundle_root",
        "output_dir",
        "ckpt_dir",
        "cache_dir",
        "data_device",
        "device",
        "log_interval",
        "writes",
        "resume",
        "progress",
        "num_workers",
        "run",
        "imports",
    )
)
#: Options of `python -m monai.bundle run` itself.
_RUN_OPTIONS = ("run_id", "init_id", "final_id", "meta_file", "config_file", "logging_file", "tracking", "args_file")
_PACKAGES = ("planewise", "monai", "torch", "pytorch-ignite", "numpy", "scipy", "itk-core", "pydicom", "nibabel")


def start_run(output_dir: str | Path, seed: int, resume: bool = True, depends_on: Sequence[str | Path] = ()) -> None:
    """Call it from a config's ``initialize``. In the run's folder it writes

    - ``config.yaml``: the configuration with every override in it,
    - ``run.json``: seed, hash of the configuration, versions of the packages, git commit, device names.

    Started again in the same folder, a run goes on from its last checkpoint if the hash is the same.

    Args:
        output_dir: the run's folder.
        seed: of all randomness.
        resume: False starts over whatever is there.
        depends_on: files whose content belongs to the configuration (the datalist).

    Raises:
        InputError: the folder holds another run. The message says what differs and what to do.
    """
    plain_errors()
    warn_of_unknown_overrides(sys.argv)
    set_determinism(seed)
    folder = Path(output_dir)
    config = _running_config()
    settings = {key: value for key, value in config.items() if key not in NOT_COMPUTED}
    content = {Path(path).name: _digest(path) for path in depends_on}
    identity = hashlib.sha256(json.dumps([settings, content], sort_keys=True, default=str).encode()).hexdigest()
    record_file, config_file = folder / "run.json", folder / "config.yaml"
    if resume and record_file.is_file():
        previous = json.loads(record_file.read_text())
        if previous.get("configuration") != identity:
            before = yaml.safe_load(config_file.read_text()) if config_file.is_file() else {}
            raise InputError(
                f"{folder} holds a run with another configuration ({_differences(before, settings, previous, content)}); "
                f"`--resume false` starts over, another --output_dir keeps both"
            )
    folder.mkdir(parents=True, exist_ok=True)
    config_file.write_text(yaml.safe_dump(_without_items(config), sort_keys=False, width=120))
    record = {
        "configuration": identity,
        "seed": seed,
        "files": content,
        "packages": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "commit": _commit(),
    }
    record_file.write_text(json.dumps(record, indent=1))


def plain_errors() -> None:
    """Let an `InputError` that ends the process print its message alone; MONAI would wrap it in pages of traceback.

    ``PLANEWISE_DEBUG=1`` keeps the traceback.
    """
    if os.environ.get("PLANEWISE_DEBUG") or getattr(sys.excepthook, "planewise", False):
        return
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            previous(kind, error, trace)
        else:
            print(f"planewise: {cause}", file=sys.stderr)

    hook.planewise = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def warn_of_unknown_overrides(arguments: Sequence[str]) -> list[str]:
    """Names on the command line that no config key takes: MONAI accepts ``--sigmaa 3`` without a word.

    Args:
        arguments: the command line of ``python -m monai.bundle run``; without ``--config_file`` nothing is checked.

    Returns:
        The unknown names; each is also logged as a warning, with the nearest known name.
    """
    given: dict[str, str] = {}
    for position, argument in enumerate(arguments):
        if argument.startswith("--"):
            name, _, value = argument[2:].partition("=")
            given[name] = value or (arguments[position + 1] if position + 1 < len(arguments) else "")
    if "config_file" not in given:
        return []
    files = yaml.safe_load(given.pop("config_file"))
    known = ConfigParser.load_config_files(files)
    unknown = []
    for name in given:
        top = name.replace("#", "::").split("::")[0].lstrip("+~")
        if top in known or top in _RUN_OPTIONS or top.startswith("_meta_"):
            continue
        unknown.append(name)
        near = difflib.get_close_matches(top, [key for key in known if not key.startswith("_")], n=1)
        hint = f"; did you mean --{near[0]}?" if near else ""
        logger.warning("--%s is not a setting of this config and has no effect%s", name, hint)
    return unknown


def _running_config() -> dict[str, Any]:
    """The configuration that is being run, overrides included, unresolved.

    MONAI offers an expression no way to its own parser, however the run was started (command line, Python, MONAI
    Label), so it is looked up among the callers.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, ConfigParser):
            return {key: value for key, value in owner.get().items() if key != ConfigParser.meta_key}
        frame = frame.f_back
    return {}


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
    before = {key: value for key, value in before.items() if key not in NOT_COMPUTED}
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    files = [name for name in content if record.get("files", {}).get(name) != content[name]]
    shown = [
        f"{key}: {before.get(key)} -> {now.get(key)}"
        if not isinstance(now.get(key, before.get(key)), (dict, list))
        else key
        for key in keys
    ]
    return "; ".join(shown[:5] + [f"{name} changed" for name in files]) or "of another version"


def _digest(path: str | Path) -> str | None:
    path = Path(path).expanduser()
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The git commit of the code that runs, with a mark if it was changed since."""
    try:
        here = Path(__file__).parent
        git = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
