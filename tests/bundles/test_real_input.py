"""Test the bundles on real images: a cine exam as DICOM, the same exam as ACDC, and a spine as a wrong input."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from planewise.engines import read_history
from planewise.exams import index_folder, write_datalist

from tests.bundles.conftest import infer, tiny_size, train

SIZE = tiny_size("pretext_cardiac_multitask")


@pytest.fixture(scope="module")
def real_run(real_data, tmp_path_factory):
    """A short pretext run on the real exam, which uses all slices for training."""
    folder = tmp_path_factory.mktemp("real")
    result = index_folder(real_data / "cardiac_cine_exam", split=(1, 0, 0))
    write_datalist(result.datalist, folder / "datalist.json")
    train(
        "pretext_cardiac_multitask",
        folder / "datalist.json",
        folder / "run",
        cache_dir=folder / "cache",
        samples_per_epoch=160,
        max_epochs=3,
        sigma=1.3,
        learning_rate=0.003,
        **SIZE,
    )
    return folder


def test_pretext_trains_on_the_real_exam_and_plans_its_views(real_run, real_data, tmp_path):
    history = read_history(real_run / "run/history.csv")
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    infer("pretext_cardiac_multitask", real_data / "cardiac_cine_exam", real_run / "run", tmp_path, sigma=1.3, **SIZE)
    (plan_file,) = tmp_path.rglob("plan.json")
    plan = json.loads(plan_file.read_text())
    assert plan["slices"] == 6 and len(plan["locations"]) == 6
    (lines,) = tmp_path.rglob("*_lines.nii.gz")
    image = nibabel.load(lines)
    assert image.shape == (208, 256, 6) or image.shape == (256, 208, 6)
    # the grid is the stack's own, with 1.4 mm in the plane and the true distance between slices
    assert np.allclose(image.header.get_zooms()[:2], 1.40625, atol=1e-3)
    labels = np.unique(np.asarray(image.dataobj))
    planes = [name for name, view in plan["views"].items() if view["verdict"] == "plane"]
    assert set(labels) - {0} == {1 + list(plan["views"]).index(name) for name in planes}
