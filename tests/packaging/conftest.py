"""Bundles packaged from runs on phantoms, and functions to use them where planewise cannot be imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from planewise.files.checksum import sha256
from planewise.workshop.packaging import Packaged, code, package_bundle
from planewise.workshop.packaging.code import copy_code
from planewise.workshop.phantoms import KNEE_LABELLED, KNEE_UNLABELLED, LABELLED, UNLABELLED, VOLUNTEERS, Recipe
from planewise.workshop.phantoms.abdomen import ABDOMENS
from planewise.workshop.phantoms.head import HEADS
from planewise.workshop.phantoms.retina import RETINAS

from tests.bundles.conftest import Phantoms, datalist_for, shared_folder, tiny
from tests.conftest import ROOT
from tests.packaging.fresh_environment import fresh_environment, required_by_all
from tests.quick_python import OF_BUNDLES, quick_python

_COPIES: dict[Path, Path] = {}


@pytest.fixture(autouse=True)
def one_copy_of_the_code(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rename and format the code once for all packages: this takes half of the time of packaging."""

    def copied(folder: Path) -> str:
        if code._PACKAGE not in _COPIES:
            made = tmp_path_factory.mktemp("code")
            _COPIES[code._PACKAGE] = made / copy_code(made)
        found = _COPIES[code._PACKAGE]
        shutil.copytree(found, folder / found.name)
        return found.name

    monkeypatch.setattr(import_module("planewise.workshop.packaging.package_bundle"), "copy_code", copied)


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory) -> str:
    """The Python of an environment that has only the packages that the bundles name.

    ``PLANEWISE_BARE_PYTHON`` may name this Python; with ``tools/test --fresh`` and ``--oldest``, pip makes its environment.
    Otherwise the environment links the packages installed here (see `fresh_environment`): a second instead of minutes.
    """
    if named := os.environ.get("PLANEWISE_BARE_PYTHON"):
        return named
    return str(fresh_environment(tmp_path_factory.mktemp("fresh") / "environment", required_by_all()))


@pytest.fixture(scope="session")
def python_elsewhere(bare_python) -> str:
    """A quick `bare_python`, without planewise."""
    return quick_python(bare_python, OF_BUNDLES, hidden="planewise")


@pytest.fixture(scope="session")
def elsewhere(python_elsewhere) -> Callable[..., None]:
    """A function that starts runs in a folder with this Python; it takes the folder and the arguments of each run."""

    def use(folder: Path, *commands: list[str]) -> None:
        for command in commands:
            done = subprocess.run(
                [python_elsewhere, "-m", "monai.bundle", "run", *command],
                cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout[-4000:]

    return use


@pytest.fixture(scope="session")
def few_phantoms(tmp_path_factory) -> Phantoms:
    """Datalists of as few phantom exams as a bundle can train on: ``cardiac.unlabelled`` and so on."""
    coarse = {"phases": 2, "spacing": (4.5, 5.0)}
    recipes = {
        "cardiac": {
            "unlabelled": (Recipe("dsbcc", 41, UNLABELLED.at_size("demo").with_values(**coarse)), 2),
            "labelled": (Recipe("acdc", 42, LABELLED.at_size("demo").with_values(**coarse)), 5),
            "four_chamber": (Recipe("ukbb", 45, VOLUNTEERS.at_size("demo").with_values(**coarse)), 2),
        },
        "knee": {
            "unlabelled": (Recipe("fastmri", 43, KNEE_UNLABELLED.at_size("demo").with_values(spacing=(3.0, 3.4))), 2),
            "labelled": (Recipe("mrnet", 44, KNEE_LABELLED.at_size("demo").with_values(matrix=48)), 6),
        },
        "photograph": {"graded": (Recipe("aptos", 49, RETINAS.with_values(side=96)), 2)},
        "volume": {
            "heads": (Recipe("brats", 46, HEADS.with_values(side=16, tumour=0.0)), 2),
            "tumours": (Recipe("brats", 47, HEADS.with_values(side=16, radius=(25.0, 30.0))), 2),
            "abdomens": (Recipe("msd", 48, ABDOMENS.with_values(side=16)), 2),
        },
    }

    def measured_on_the_last(datalist: dict) -> dict:
        # too few for a split: one is used for training and for scoring
        last = datalist["training"][-1]["exam"]
        kept = [item for item in datalist["training"] if item["exam"] == last]
        return datalist | {"test": kept, "validation": kept}

    return Phantoms(shared_folder(tmp_path_factory, "few_phantoms"), recipes, (1, 0, 0), measured_on_the_last)


def source(name: str) -> Path:
    return ROOT / "bundles" / name


def copied(name: str, folder: Path) -> Path:
    """A copy of a bundle, without weights, to modify."""
    left_out = shutil.ignore_patterns("models", "eval")
    return shutil.copytree(source(name), folder / "bundles" / name, ignore=left_out)


def write_run(name: str, folder: Path, settings: dict, datalist: Path | None = None, *overlays: str) -> Path:
    """Write the files of a run without training: initial weights, settings, record and scores."""
    files = [str(source(name) / "configs" / file) for file in ("train.yaml", *overlays)]
    config = ConfigParser.load_config_files(files)
    config |= {key: value for key, value in settings.items() if key in config}
    config |= {"datalist": str(datalist or "nowhere.json"), "output_dir": str(folder)}
    torch.manual_seed(0)
    network = ConfigParser(config).get_parsed_content("network_def")
    (folder / "models").mkdir(parents=True)
    torch.save(network.state_dict(), folder / "models/model.pt")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    listed = sha256(datalist) if datalist else "no datalist"
    files = {datalist.name if datalist else "nowhere.json": listed}
    record = {
        "configuration": "c0ffee",
        "seed": 7,
        "files": files,
        "commit": "abc-dirty",
        "packages": {"monai": "1.6.1"},
    }
    (folder / "run.json").write_text(json.dumps(record))
    section = folder / ("validation" if name.startswith("pretext_") else "test")
    section.mkdir()
    metrics = section / "metrics.json"
    metrics.write_text(json.dumps({"exams": 2, "mean": {"dice": 0.25}, "views": {"2ch": None}}))
    scored = {"section": section.name, "datalist": listed}
    digests = {"weights": sha256(folder / "models/model.pt"), "metrics": sha256(metrics)}
    (section / "scored.json").write_text(json.dumps(scored | digests))
    return folder


@pytest.fixture
def packaged(few_phantoms, tmp_path) -> Callable[..., Packaged]:
    """Packages a bundle from such a run; further arguments are `package_bundle`'s."""

    def make(name: str, **options) -> Packaged:
        run = tmp_path / "run"
        if not run.exists():
            write_run(name, run, tiny(name), datalist_for(name, few_phantoms))
        options = {"weights": run, "dist": tmp_path / "dist"} | options
        return package_bundle(source(name), **options)

    return make


def arguments(config_file: str, **settings) -> list[str]:
    """Settings as on the command line."""
    return [
        "--config_file",
        config_file,
        *(part for key, value in settings.items() for part in (f"--{key}", str(value))),
    ]
