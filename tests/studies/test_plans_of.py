"""Test that planning in memory gives the same planes as the bundle."""

from __future__ import annotations

import json

import monai.bundle
import numpy as np
import pytest
from planewise.own_exams.heart_bundles import PLANS
from planewise.own_exams.load_bundle import bundles_folder
from planewise.phantoms.files import NiftiFile

from tools.studies.plans_of import plans_of


@pytest.fixture
def volumes(tmp_path):
    """Two volumes of noise with different numbers of slices."""
    folder = tmp_path / "volumes"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for slices in (3, 5):
        pixels = rng.integers(0, 1000, (64, 64, slices)).astype(np.int16)
        NiftiFile(f"of{slices}.nii.gz", pixels, np.diag([2.2, 2.2, 8, 1])).write(folder)
    return folder


def test_they_are_those_that_the_bundle_writes(volumes, tmp_path):
    data = [{"image": str(volumes / f"of{slices}.nii.gz")} for slices in (5, 3)]
    before = set(tmp_path.rglob("*"))
    plans = plans_of(data, min_obliquity=0.0, max_spread=1.0)
    assert {path.name for path in set(tmp_path.rglob("*")) - before} <= {"salt"}, (
        "only the user's salt, which tests keep here"
    )
    assert [plan["slices"] for plan in plans] == [5, 3]
    bundle = bundles_folder(None) / PLANS
    monai.bundle.run(
        config_file=str(bundle / "configs/inference.yaml"), logging_file=False, bundle_root=str(bundle),
        input=str(volumes), output_dir=str(tmp_path / "out"), min_obliquity=0.0, max_spread=1.0,
    )  # fmt: skip
    for name, plan in zip(("of5", "of3"), plans, strict=True):
        assert json.loads((tmp_path / "out" / name / "plan.json").read_text()) == plan
