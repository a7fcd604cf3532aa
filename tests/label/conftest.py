"""Train bundles on phantoms and package them for a MONAI Label server. It takes minutes: `tools/test --label` runs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from planewise.exams import LoadExamd
from planewise.workshop.packaging import package_bundle

from tests.bundles.conftest import BUNDLES, DECLARED, datalist_for, tiny, train_and_evaluate
from tests.conftest import ROOT
from tests.label.label_server import LabelServer
from tests.packaging.conftest import few_phantoms, source, write_run  # noqa: F401, a fixture

ORIENTATION, SEGMENTATION = "pretext_cardiac_orientation", "downstream_cardiac_sax_segmentation"
LONG = "downstream_cardiac_lax_segmentation"
KNEE = "pretext_knee_orientation"
LOCATION, KNEE_LOCATION = "pretext_cardiac_location", "pretext_knee_location"
MULTITASK, KNEE_MULTITASK = "pretext_cardiac_multitask", "pretext_knee_multitask"
FINDINGS, DISEASE = "downstream_knee_injury_classification", "downstream_cardiac_disease_classification"
#: Enough to memorise two hearts, or the locations of a knee, in half a minute. The planes and findings of the knee are not
#: learned, and need not be trusted.
SETTINGS = {
    ORIENTATION: {"features": [8, 16, 32], "learning_rate": 0.01, "max_epochs": 120, "val_interval": 120},
    KNEE: {"max_epochs": 1},
    SEGMENTATION: {"features": [8, 16, 32], "learning_rate": 0.01, "max_epochs": 40, "val_interval": 40},
    LONG: {
        "features": [8, 16, 32],
        "learning_rate": 0.01,
        "samples_per_epoch": 64,
        "max_epochs": 30,
        "val_interval": 30,
    },
    LOCATION: {"learning_rate": 0.001, "max_epochs": 60, "val_interval": 60},
    KNEE_LOCATION: {"learning_rate": 0.001, "max_epochs": 60, "val_interval": 60},
    FINDINGS: {"max_epochs": 1},
    DISEASE: {},
}
POSITION, LONG_POSITION = "pretext_cardiac_sax_position", "pretext_cardiac_lax_position"
#: Bundles that answer with a slice's features; `pretext_slice_order` also gives an order.
FEATURES = tuple(name for name in BUNDLES if DECLARED[name].get("tests", {}).get("monai_label") == "features")
#: Bundles with random weights: their answers have no order and no lines.
UNTRAINED = (MULTITASK, KNEE_MULTITASK, POSITION, LONG_POSITION, *FEATURES)
_PAGE = ROOT / "tools" / "docs" / "monai_label.md"
_BEGIN, _END = "<!-- written by tools/test --label -->", "<!-- end of what tools/test --label wrote -->"


@pytest.fixture(scope="session", autouse=True)
def own_settings(tmp_path_factory) -> Iterator[None]:
    """Like `own_caches`, for everything that is created once for all tests: bundles, images and the server."""
    folder = tmp_path_factory.mktemp("settings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANEWISE_CACHE", str(folder / "cache"))
        patch.setenv("PLANEWISE_SALT_FILE", str(folder / "salt"))
        yield


@pytest.fixture(scope="session")
def label_environment() -> Path:
    """The folder that ``PLANEWISE_LABEL_ENV`` names, or ``.venv-label``, which is made if it is absent."""
    if named := os.environ.get("PLANEWISE_LABEL_ENV"):
        return Path(named).resolve()
    folder = ROOT / ".venv-label"
    if not (folder / "bin" / "monailabel").exists():
        subprocess.run([ROOT / "tools" / "label_environment", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def dist(few_phantoms, tmp_path_factory) -> Path:  # noqa: F811
    """Packaged bundles, made as on the page, but small: the segmentation starts from the pretext's zip."""
    folder = tmp_path_factory.mktemp("label")
    shutil.copytree(ROOT / "bundles", folder / "bundles", ignore=shutil.ignore_patterns("models", "eval", "runs"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    datalists = {"EXAMS": few_phantoms.cardiac.unlabelled, "LABELLED": few_phantoms.cardiac.labelled}
    own = {"RUNS": folder, "OMP_NUM_THREADS": "1", "PATH": path, **datalists}
    run_bash([smaller(line) for line in page_commands("planewise package")], folder, own)
    for name in (name for name in SETTINGS if name not in (ORIENTATION, SEGMENTATION)):
        train_and_evaluate(name, datalist_for(name, few_phantoms), folder / name, **SETTINGS[name])
        package_bundle(source(name), folder / name, folder / "dist")
    for name in UNTRAINED:
        write_run(name, folder / name, tiny(name), datalist_for(name, few_phantoms))
        package_bundle(source(name), folder / name, folder / "dist")
    return folder / "dist"


def page_commands(having: str) -> list[str]:
    """The commands of the page's block that contains this text."""
    blocks = re.findall(r"```bash\n(.*?)```", _PAGE.read_text(), re.S)
    return next(block for block in blocks if having in block).splitlines()


def smaller(command: str) -> str:
    """A training command of the page, with settings that make it fast."""
    name = next((name for name in SETTINGS if f"cd bundles/{name} " in command), None)
    settings = tiny(name) | SETTINGS[name] if name else {}
    return (
        command.removesuffix(")") + "".join(f" --{key} '{value}'" for key, value in settings.items()) + ")" * bool(name)
    )


def run_bash(commands: list[str], folder: Path, own: dict) -> None:
    """Run commands one after the other, in one shell.

    Raises:
        AssertionError: a command failed; the message holds its output.
    """
    environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
    script = "set -e\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n" + "\n".join(commands)
    with (folder / "said").open("w+") as said:
        done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, stdout=said, stderr=said)
        said.seek(0)
        assert done.returncode == 0, said.read()[-5000:]


@pytest.fixture(scope="session")
def exams(few_phantoms, tmp_path_factory) -> SimpleNamespace:  # noqa: F811
    """Folders of DICOM files of the pretexts' training exams, and the planes in their headers: ``cardiac``, ``knee``."""
    found = SimpleNamespace()
    for body in ("cardiac", "knee"):
        datalist = getattr(few_phantoms, body).unlabelled
        item = json.loads(datalist.read_text())["training"][-1]
        # the exam's folder has one folder for each series
        folder = (datalist.parent / item["image"]).parent.parent
        setattr(found, body, SimpleNamespace(folder=folder, planes=item["planes"], exam=item["exam"]))
    return found


@pytest.fixture(scope="session")
def studies(few_phantoms, exams, tmp_path_factory) -> Path:  # noqa: F811
    """The server's images, as NIfTI: a heart to plan, a knee, hearts with labels, and a 4-chamber image."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "labels" / "final").mkdir(parents=True)
    for body, view in (("cardiac", "sax"), ("knee", "sagittal")):
        stack = LoadExamd("image", view=view)({"image": str(getattr(exams, body).folder)})["image"]
        volume = nibabel.Nifti1Image(np.asarray(stack, dtype=np.float32), np.asarray(stack.affine))
        nibabel.save(volume, folder / f"{body}.nii.gz")
    datalist = few_phantoms.cardiac.labelled
    for number, item in enumerate(json.loads(datalist.read_text())["training"][:4]):
        for key, place in (("image", folder), ("label", folder / "labels" / "final")):
            volume = nibabel.load(datalist.parent / item[key])
            nibabel.save(volume, place / f"heart{number}.nii.gz")
    four = few_phantoms.cardiac.four_chamber
    shutil.copy(four.parent / json.loads(four.read_text())["training"][-1]["image"], folder / "four.nii.gz")
    return folder


@pytest.fixture(scope="session")
def server(label_environment, dist, studies, tmp_path_factory) -> Iterator[LabelServer]:
    bundles = [dist / name for name in (*SETTINGS, *UNTRAINED)]
    with LabelServer(label_environment, bundles, studies, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def told(request, label_environment) -> Iterator[Callable[[str, str], None]]:
    """A function that notes an action and its result; ``--label-page`` writes both into the documentation."""
    rows: list[tuple[str, str]] = []
    yield lambda what, came: rows.append((what, came))
    if request.config.getoption("--label-page") and not request.session.testsfailed:
        _write_page(rows, label_environment)


def _write_page(rows: list[tuple[str, str]], environment: Path) -> None:
    names = ("monailabel", "monai", "torch", "numpy", "pydicom", "itk")
    ask = f"from importlib.metadata import version\nfor name in {names}: print(name, version(name))"
    done = subprocess.run([environment / "bin" / "python", "-c", ask], capture_output=True, text=True, check=True)
    lines = [
        _BEGIN,
        f"The server's environment: {', '.join(done.stdout.split(chr(10))[:-1])}. Trained and packaged with monai "
        f"{version('monai')}, torch {version('torch')}, numpy {version('numpy')}, pydicom {version('pydicom')}.",
        "",
        "| What was done | Result |",
        "|---|---|",
        *(f"| {what} | {came} |" for what, came in rows),
        _END,
    ]
    before, _, rest = _PAGE.read_text().partition(_BEGIN)
    _, found, after = rest.partition(_END)
    assert found, f"{_PAGE} lacks the marks around the result"
    _PAGE.write_text(before + "\n".join(lines) + after)
