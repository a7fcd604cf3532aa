"""Settings for all tests: paths of real data, and hypothesis profiles that do not depend on the machine's speed."""

from __future__ import annotations

import gc
import itertools
import os
import re
import sys
from collections.abc import Callable, Generator
from functools import partial
from importlib import import_module
from pathlib import Path

import pydicom
import pytest
import torch
import yaml
from hypothesis import settings
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams

from tests.expected_numbers import check_numbers
from tests.expected_text import check_expected
from tests.processes import import_once
from tests.quick_python import quick_python

ROOT = Path(__file__).resolve().parent.parent
_FOLDERS = itertools.count()
settings.register_profile("planewise", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("planewise")
torch.set_num_threads(1)
# the same loader in C: MONAI reads every config again and again, which was a tenth of all tests' time
yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
import_once()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--label-page", action="store_true", help="write the label tests' result into tools/docs/monai_label.md"
    )
    parser.addoption("--write-expected", action="store_true", help="write the files of tests/expected again")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # torch, MONAI and all tests are about a million objects, which each full collection would go through for half a second
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("PLANEWISE_REAL_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder} (set PLANEWISE_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def real_localizers(real_data: Path, tmp_path_factory) -> Path:
    """Two real localizers of a head, whose headers say that they show a knee: the only real stacks in three planes."""
    folder = tmp_path_factory.mktemp("real") / "localizers"
    for path in sorted((real_data / "localizer_ge").glob("*/*MRDC*")):
        image = pydicom.dcmread(path)
        image.BodyPartExamined = "KNEE"
        copy = folder / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        image.save_as(copy)
    return folder


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test's own, with pytest's name for it. To number it, pytest's own fixture looks through the folders
    of all tests before, which takes longer than most tests."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    folder = tmp_path_factory.mktemp(str(next(_FOLDERS)), numbered=False) / f"{name}0"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's caches or salt."""
    monkeypatch.setenv("PLANEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(tmp_path / "salt"))


@pytest.fixture
def assert_expected(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`check_expected` of `tests.expected_text`, which writes the files if ``--write-expected`` asks."""
    return partial(check_expected, write=request.config.getoption("--write-expected"))


@pytest.fixture
def assert_numbers(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`check_numbers` of `tests.expected_numbers`, which writes the files if ``--write-expected`` asks."""
    return partial(check_numbers, write=request.config.getoption("--write-expected"))


@pytest.fixture
def any_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any file count as weights that fit, for tests whose weights are never read."""
    monkeypatch.setattr(import_module("planewise.own_exams.bundles"), "load_bundle", lambda *_: None)


@pytest.fixture
def quick_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the quick Python for the processes that a command starts, so that their imports take no time."""
    monkeypatch.setattr(sys, "executable", quick_python())


@pytest.fixture(scope="session")
def phantom_exam(tmp_path_factory) -> dict[str, list[Path]]:
    """One phantom exam: maps each view to its files, with the first phase first; ``sax`` holds one file per slice,
    unordered.
    """
    folder = tmp_path_factory.mktemp("phantom")
    population = UNLABELLED.at_size("demo").with_values(phases=2)
    list(write_exams(Recipe("dsbcc", seed=5, population=population), folder, 1))
    views: dict[str, list[Path]] = {"sax": [], "2ch": [], "4ch": []}
    for series in sorted(folder.glob("train/train/*/study/*")):
        files = sorted(series.glob("*.dcm"), key=lambda file: float(pydicom.dcmread(file).TriggerTime))
        view = series.name.split("_")[0]
        views[view] += files[:1] if view == "sax" else files
    return views


@pytest.fixture(scope="session")
def real_exam(real_data) -> dict[str, list[Path]]:
    """The real exam's views: `sax` from base to apex, and the long axes, each as one file of the first phase."""
    folder = real_data / "cardiac_cine_exam" / "dicom"

    def first(series: str) -> Path:
        return min((folder / series).glob("*.dcm"), key=lambda file: float(pydicom.dcmread(file).TriggerTime))

    sax = [first(series) for series in ("Se11", "Se1", "Se2", "Se3", "Se4", "Se5")]
    return {"sax": sax, "4ch": [first("Se6")], "3ch": [first("Se7")], "2ch": [first("Se8")], "rv": [first("Se9")]}


@pytest.fixture(params=["phantom_exam", "real_exam"])
def exam(request) -> dict[str, list[Path]]:
    """Either exam."""
    return request.getfixturevalue(request.param)
