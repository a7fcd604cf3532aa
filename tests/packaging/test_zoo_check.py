"""Test every packaged bundle with a checker of the Model Zoo's and MONAI Label's real behaviour, if it is available.

The checker is not part of this repository; ``PLANEWISE_BUNDLE_CHECK`` names its ``bundle_check.py``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.workshop.packaging import package_bundle

from tests.bundles.conftest import BUNDLES, tiny
from tests.conftest import ROOT
from tests.packaging.conftest import source, write_run

#: Runs the checker once for each folder, in forked processes that have loaded the libraries, without planewise. Unless an
#: image lies next to the folder, the checker makes one with as many channels as the network's input has.
SERVER = """
import os, runpy, sys
sys.modules["planewise"] = None
import ignite.engine, itk, monai.bundle, monai.engines, nibabel, pydicom, sklearn.ensemble, torch
torch.set_num_threads(1)
checker, *folders = sys.argv[1:]
for folder in folders:
    sys.stdout.flush()
    child = os.fork()
    if not child:
        image = folder + ".nii.gz"
        sys.argv = [checker, folder, "--n", "2", *(["--sample", image] if os.path.exists(image) else [])]
        runpy.run_path(checker, run_name="__main__")
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def checker() -> Path:
    path = Path(os.environ.get("PLANEWISE_BUNDLE_CHECK") or ROOT.parent / "shared/tools/bundle_check.py")
    if not path.is_file():
        pytest.skip(f"no checker at {path} (set PLANEWISE_BUNDLE_CHECK)")
    return path


@pytest.mark.slow
def test_nothing_fails_in_the_zoo_nor_for_images_in_label(checker, tmp_path):
    folders = [
        package_bundle(
            source(name), write_run(name, tmp_path / name, tiny(name)), tmp_path / "dist", data="phantoms"
        ).folder
        for name in BUNDLES
    ]
    for name, folder in zip(BUNDLES, folders, strict=True):
        channels = tiny(name).get("in_channels")
        metadata = json.loads((folder / "configs/metadata.json").read_text())
        if channels and channels != metadata["network_data_format"]["inputs"]["image"]["num_channels"]:
            # the network takes two patches of an image, whose channels MONAI Label reads from the image's own file
            pixels = np.random.default_rng(0).random((64, 64, 64, channels), np.float32)
            nibabel.save(nibabel.Nifti1Image(pixels, np.diag([1.7, 1.5, 2.1, 1.0])), f"{folder}.nii.gz")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SERVER, str(checker), *map(str, folders)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    _, *reports = re.split(r"^# (?=\w+  monai )", done.stdout, flags=re.M)
    assert [report.split()[0] for report in reports] == BUNDLES, done.stdout[-3000:]
    for name, report in zip(BUNDLES, reports, strict=True):
        # probabilities are not an image: MONAI Label answers with JSON (tools/docs/monai_label.md); the checker sends NIfTI
        tiers = ("zoo", "unit") if name.endswith(("_classification", "_grading")) else ("zoo", "unit", "label")
        found = re.findall(r"^(\w+) +\[(\w+)\] (.*)$", report, re.M)
        # a package also holds its configs as JSON, for monai.bundle.load; the checker does not expect both
        failed = [
            line for line in found if line[0] == "FAIL" and line[1] in tiers and "files.one_suffix" not in line[2]
        ]
        assert failed == [], name
        passed = {tier: sum(line[:2] == ("PASS", tier) for line in found) for tier in tiers}
        assert all(passed.values()), (name, passed)  # the checker ran every tier
