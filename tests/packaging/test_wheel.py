"""Test that the wheel contains package, bundles and weights, so that `planewise plan` works outside a clone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.bundles.conftest import BUNDLES
from tests.conftest import ROOT

#: The usual Python, before a fixture replaces it by one that has imported this clone's package.
PYTHON = sys.executable
# older ones cannot build a wheel by themselves; a fresh Python 3.11 has 65, until torch is installed
pytest.importorskip("setuptools", "70.1", reason="setuptools 70.1 or newer builds the wheel")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The unpacked wheel of a copy of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    kept = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "eval", "runs", "results", "benchmarks")
    for name in ("tools", "bundles"):
        shutil.copytree(ROOT / name, folder / "source" / name, symlinks=True, ignore=kept)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    build = "from setuptools import build_meta; print(build_meta.build_wheel('..'))"
    done = subprocess.run([PYTHON, "-W", "ignore", "-c", build], cwd=folder / "source", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = folder.glob("*.whl")
    zipfile.ZipFile(file).extractall(folder / "site")
    shutil.rmtree(folder / "source")
    return folder / "site"


def test_it_holds_every_bundle_whole(wheel):
    for name in BUNDLES:
        # also the files that packaging needs; of the models, those that git tracks
        files = [path for part in ("configs", "docs") for path in (ROOT / "bundles" / name / part).iterdir()]
        files += [ROOT / "bundles" / name / "LICENSE"]
        if (ROOT / "bundles" / name / "models/record.json").is_file():
            files += [ROOT / "bundles" / name / "models" / file for file in ("model.pt", "record.json")]
        for file in files:
            packed = wheel / "planewise" / file.relative_to(ROOT)
            assert packed.read_bytes() == file.read_bytes(), packed
    assert len(list(wheel.glob("planewise/bundles/*"))) == len(BUNDLES)


@pytest.mark.slow
def test_it_plans_an_exam_with_the_weights_that_ship(wheel, tmp_path):
    """The command runs in another folder, uses only the wheel's files, and does not change them."""
    environment = {**os.environ, "PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1"}

    def planewise(*words: str) -> str:
        done = subprocess.run(
            [PYTHON, "-m", "planewise", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr[-2000:]
        return done.stdout + done.stderr

    before = sorted(wheel.glob("planewise/bundles/**/*"))
    where = [PYTHON, "-c", "import planewise; print(planewise.__file__)"]
    assert subprocess.check_output(where, cwd=tmp_path, env=environment, text=True).startswith(str(wheel))
    planewise("phantom", "cardiac", "exam", "--exams", "1", "--set", "phases=1", "--workers", "1")
    said = planewise("plan", "exam", "-o", "planned")
    assert "trained on phantoms" in said
    (plan,) = tmp_path.glob("planned/*/plan.json")
    assert {"2ch", "4ch"} == set(json.loads(plan.read_text())["views"])
    assert sorted(wheel.glob("planewise/bundles/**/*")) == before
