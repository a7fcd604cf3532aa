"""Start a bundle's run: check the settings, fix the seed, record the configuration, and decide whether to resume."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.utils import ensure_tuple, set_determinism

from planewise import __version__
from planewise.data import ReadableItems
from planewise.engines.check_settings import check_settings, checked
from planewise.engines.checkpoints import BEST, LAST
from planewise.engines.inferers import allow_tf32, precision
from planewise.engines.processes import plain_errors, refuse_strangers
from planewise.engines.run_bundle import bundle_root, follow_pretrained, follow_weights, write_bundle
from planewise.engines.run_record import as_table, config_file, differ, metadata_of, reached, read_table
from planewise.engines.tracking import complete_tracking
from planewise.errors import InputError, causes, refusal
from planewise.files.atomic_write import claim_folder
from planewise.files.checksum import code_sha256, digest, sha256
from planewise.files.datalists import channels_in
from planewise.files.text import read_yaml
from planewise.findings import Finding
from planewise.networks import weights_path
from planewise.networks.pretrained import NO_WEIGHTS
from planewise.reports.tables import write_json
from planewise.settings import NOT_COMPUTED, parse_bool

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PACKAGES = ("monai", "torch", "pytorch-ignite", "numpy", "scipy", "itk-core", "pydicom", "nibabel")


def start_run(
    output_dir: str | Path,
    seed: int,
    resume: bool | str = True,
    depends_on: Sequence[str | Path] = (),
    tf32: bool | str | None = None,
) -> None:
    """Record a run in its folder, and decide whether it resumes. Call it from a config's ``initialize``.

    Its folder gets ``bundle`` (`write_bundle`) and ``run.json``: seed, hash of the configuration, versions of the packages,
    git commit, number of processes, their devices, and the precision. It is reserved until this process ends.

    A run that is started again in the same folder resumes from its last checkpoint if ``train`` and all that it refers to
    (apart from a larger ``max_epochs``), the contents of the files and the number of processes are equal.

    Args:
        output_dir: the run's folder.
        seed: seed of all randomness.
        resume: False starts over, without regard to earlier files.
        depends_on: files whose content belongs to the configuration (the datalist).
        tf32: see `allow_tf32`; None keeps PyTorch's setting.

    Raises:
        InputError: a setting is unknown or invalid (`planewise.engines.check_settings`), or the folder contains another
            trained run, is in use, or is not writable.
    """
    plain_errors()
    refuse_strangers()
    parser = _checked_parser(follow_pretrained)
    # this also turns off cuDNN's search for the fastest algorithm, which a resumed run could end with another result
    set_determinism(seed)
    allow_tf32(tf32)
    about: dict[str, Any] = {"seed": seed, "processes": idist.get_world_size()}
    if "device" in parser:
        device = torch.device(parser.get_parsed_content("device"))
        is_gpu = device.type == "cuda" and torch.cuda.is_available()
        about["devices"] = idist.all_gather(torch.cuda.get_device_name(device) if is_gpu else str(device))
        about["precision"] = precision(parser.get_parsed_content("amp", default=False), device)
    if idist.get_rank() == 0:
        config = {key: value for key, value in parser.get().items() if key != ConfigParser.meta_key}
        about["files"] = {Path(path).name: digest(path) for path in map(str, depends_on)}
        if parser.get_parsed_content("transfer", default=None) == "multitask":
            for name in ("pretext_config", "pretext_datalist"):
                about["files"][name] = [digest(path) for path in ensure_tuple(parser.get_parsed_content(name))]
        if channels := next(filter(None, map(channels_in, map(str, depends_on))), None):
            about["channels"] = channels
        if (start := parser.get_parsed_content("pretrained", default=None)) not in NO_WEIGHTS:
            weights, origin = Path(weights_path(start)), ("name", "version", "authors", "copyright", "data_source")
            known = {key: value for key, value in metadata_of(weights).items() if key in origin}  # no path
            about["started_from"] = {"sha256": sha256(weights), **known}
        folder, root = Path(str(output_dir)), bundle_root(parser)
        claim_folder(folder)
        if parse_bool(resume, "resume"):
            _refuse_another_run(
                folder, Path(parser.get_parsed_content("ckpt_dir", default=folder / "models")), config, about
            )
        write_bundle(folder, _without_items(config), about, root)
        _write_record(folder, config, about, root)
    idist.barrier()


def check_run() -> None:
    """Prepare a run that does not train. Call it first in a config's ``initialize``.

    The settings of the run that trained the weights are applied (`follow_weights`), and unknown names and invalid settings
    are refused with an `InputError` before any image is read. The setting ``tf32`` acts as in `start_run`.
    """
    plain_errors()
    parser = _checked_parser(follow_weights)
    allow_tf32(parser.get_parsed_content("tf32", default=None))


def running_parser() -> ConfigParser | None:
    """The parser of the running configuration, including overrides; None outside a config."""
    return _on_the_stack(ConfigParser)


def _on_the_stack(kind: type[T]) -> T | None:
    """The running object of a kind, from the call stack: a config's expression has no access to MONAI's parser."""
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, kind):
            return owner
        frame = frame.f_back
    return None


def _checked_parser(follow: Callable[[ConfigParser], Any]) -> ConfigParser:
    """The running parser, checked and with the settings of the weights; empty outside a config."""
    parser, workflow = running_parser() or ConfigParser({}), _on_the_stack(ConfigWorkflow)
    config = parser.get()
    if "evaluate" in config and "train" not in config:
        raise InputError(
            "evaluate.yaml lacks the settings of train.yaml, which it needs; run it with both files, train.yaml first: "
            """--config_file "['configs/train.yaml','configs/evaluate.yaml']\""""
        )
    if workflow is not None and config.get("bundle_root") == ".":
        # a run may start outside of its bundle; in a bundle, a config whose folder has no metadata.json belongs to it
        folder = Path(workflow.config_root_path).absolute().parent
        needed = "metadata.json" if Path("configs/train.yaml").is_file() else "train.yaml"
        if folder.resolve() != Path.cwd() and (folder / "configs" / needed).is_file():
            parser.update({"bundle_root": str(folder)})
    parser.update(checked(parser))
    # train_and_evaluate: the weights in the folder are an earlier run's, and this run trains its own
    run = str(config.get(workflow.run_id)) if workflow is not None else ""
    if follow is follow_pretrained or "start_run(" not in run:
        follow(parser)
    check_settings(parser)
    complete_tracking(parser, "start_run(" in run)
    return parser


def _refuse_another_run(folder: Path, weights: Path, config: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Refuse to resume a run that has trained with another configuration, files or number of processes."""
    if not any(path.exists() for path in (folder / "history.csv", weights / LAST, weights / BEST)):
        return
    remedy = "start over with `--resume false`, or name another --output_dir to keep both"
    try:
        record, settings = read_table(folder / "run.json"), config_file(folder)
        before, now = _that_train(as_table(read_yaml(settings), settings)), _that_train(_without_items(config))
    except InputError as error:
        raise InputError(f"it is unknown with which settings {folder} was trained ({error}); {remedy}") from error
    epochs = before.get("max_epochs"), now.get("max_epochs")
    if all(isinstance(each, int) for each in epochs) and epochs[0] < epochs[1]:
        before["max_epochs"] = epochs[1]
    if all(str(each.get("compile")).lower() in ("false", "auto") for each in (before, now)):
        before["compile"] = now["compile"]  # the checkpoint says what auto has decided
    pairs = {key: (before.get(key), now.get(key)) for key in before | now}
    pairs["processes"] = record.get("processes", about["processes"]), about["processes"]
    found = [f"{key}: {one!s:.40} -> {other!s:.40}" for key, (one, other) in pairs.items() if differ(one, other)]
    found += [f"contents of {name}" for name, sum_ in about["files"].items() if record["files"].get(name) != sum_]
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
    packages = {"planewise": __version__}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    # a study compares the last two with the files that its next trainings would use
    code = {"train.yaml": digest(root / "configs" / "train.yaml"), "code": code_sha256()}
    about = {
        "configuration": hashlib.sha256(settings.encode()).hexdigest(),
        **about,
        "packages": packages,
        "python": platform.python_version(),
        "commit": _commit(),
        **code,
    }
    write_json(folder / "run.json", about)


def _commit() -> str | None:
    """The git commit of the running code, marked if the code has changed since; None if git does not track it."""
    here, last = Path(__file__), ""
    describe = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    for arguments in (("ls-files", "--error-unmatch", here.name), describe):
        try:
            command = ["git", "-C", str(here.parent), *arguments]
            last = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None
    return last


class Inference:
    """``configs/inference.yaml`` of a bundle in this process, as in ``python -m monai.bundle run``, loaded once for any
    number of runs on given items.

    With ``PLANEWISE_DEBUG=1``, errors other than an `InputError` are raised unchanged, with their traceback.

    Args:
        bundle: the bundle's folder.
        settings: overrides; None keeps the configuration's own value.

    Raises:
        InputError: there is no such bundle; later, it cannot be loaded, or a run failed.
    """

    def __init__(self, bundle: str | Path, settings: Mapping[str, object]) -> None:
        self.bundle = Path(bundle).resolve()
        self.config = self.bundle / "configs" / "inference.yaml"
        if not self.config.is_file():
            raise InputError(f"there is no bundle in {self.bundle}; name a bundle's folder")
        given = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
        given = {"bundle_root": str(self.bundle), "dataset#data": [], **given}
        self.settings = {name: value for name, value in given.items() if value is not None}

    @cached_property
    def workflow(self) -> ConfigWorkflow:
        """The loaded bundle."""
        with self._alone():
            workflow = ConfigWorkflow(str(self.config), logging_file=False, workflow_type="inference", **self.settings)
            workflow.initialize()
            self.evaluator = workflow.evaluator  # this makes every part of it
            return workflow

    def __call__(
        self, items: Sequence[Mapping[str, Any]], watch: Callable[[Any], None] | None = None
    ) -> dict[str, Finding]:
        """Run it.

        Args:
            items: what its dataset's transforms take.
            watch: called with each item and its outputs, after the postprocessing.

        Returns:
            The exams that the run refused, with the reasons.
        """
        workflow = self.workflow
        evaluator = self.evaluator
        with self._alone():
            workflow.dataset.data = items
            evaluator.state.epoch_length = None  # not that of an earlier run
            with evaluator.add_event_handler(Events.ITERATION_COMPLETED, _items_of, watch):
                workflow.run()
            workflow.finalize()
        dataset = getattr(evaluator.state.dataloader, "dataset", None)
        return dict(dataset.refused) if isinstance(dataset, ReadableItems) else {}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Run as in a separate process: silence logs and warnings, and turn errors into an `InputError`."""
        hook, path, silent = sys.excepthook, sys.path[:], logging.root.manager.disable
        sys.path.insert(0, str(self.bundle))
        logging.disable()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Exception as error:
            self.__dict__.pop("workflow", None)  # the next run loads it again
            if isinstance(refused := refusal(error), InputError):
                raise refused  # noqa: B904  (it may be a cause of the error)
            if refused is None and os.environ.get("PLANEWISE_DEBUG"):
                raise
            first = causes(error)[-1]
            ended = f"{self.bundle.name} ended with an error: {type(first).__name__}: {first}".splitlines()[0]
            raise InputError(str(refused or ended)) from error
        finally:
            sys.excepthook, sys.path[:] = hook, path
            logging.disable(silent)


def _items_of(evaluator: Engine, watch: Callable[[Any], None] | None) -> None:
    if watch is not None:
        for item, output in zip(evaluator.state.batch, evaluator.state.output, strict=True):
            watch({**item, **output})
