"""Test the bundles on real images: a cine exam as DICOM, the same exam as ACDC, and a spine as a wrong input."""

from __future__ import annotations

import json
import shutil

import nibabel
import numpy as np
import pytest
from planewise.engines import read_history
from planewise.exams import index_folder, write_datalist

from tests.bundles.conftest import infer, tiny_size, train, train_and_evaluate

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


#: One short epoch of a small network, or enough steps to learn one exam by heart.
A_MOMENT = {"samples_per_epoch": 8, "max_epochs": 1, "val_interval": 1, "features": [4, 8, 16]}
ENOUGH = {"samples_per_epoch": 160, "features": [16, 32, 64, 128]}


@pytest.mark.parametrize(
    "training", [A_MOMENT, pytest.param(ENOUGH, marks=pytest.mark.slow)], ids=["a moment", "enough"]
)
def test_real_masks_through_the_acdc_reader_and_the_evaluator(training, real_data, tmp_path):
    source = real_data / "cardiac_cine_nifti"
    patient = tmp_path / "training/patient001"
    patient.mkdir(parents=True)
    for file in source.glob("patient1_*.nii.gz"):
        shutil.copy(file, patient / file.name.replace("patient1_", "patient001_"))
    (patient / "Info.cfg").write_text("ED: 1\nES: 2\nGroup: NOR\nHeight: 170.0\nNbFrame: 2\nWeight: 70.0\n")
    result = index_folder(tmp_path, split=(1, 0, 0))
    write_datalist(result.datalist, tmp_path / "acdc.json")
    items = json.loads((tmp_path / "acdc.json").read_text())["training"]
    assert {item["phase"] for item in items} == {"ED", "ES"} and all("label" in item for item in items)
    train_and_evaluate(
        "downstream_cardiac_sax_segmentation",
        tmp_path / "acdc.json",
        tmp_path / "run",
        "demo.yaml",
        section="training",
        save_masks=True,
        **SIZE | {"spacing": 2.94, "image_size": 96} | training,
    )
    # scored on its own training exam: this checks the mapping there and back, not the quality
    scores = json.loads((tmp_path / "run/training/metrics.json").read_text())
    assert scores["volumes"] == 2 and set(scores["structures"]) == {"RV", "myocardium", "LV"}
    assert training is A_MOMENT or scores["structures"]["LV"]["dice"]["mean"] > 0.5
    masks = list((tmp_path / "run/training/masks").glob("*.nii.gz"))
    assert len(masks) == 2
    for mask in masks:
        predicted, image = nibabel.load(mask), nibabel.load(source / "patient1_frame01.nii.gz")
        assert predicted.shape == image.shape
        assert np.allclose(predicted.affine, image.affine, atol=1e-4)
        # the field of view is larger than the network's input; outside the input, nothing is found
        values = np.asarray(predicted.dataobj)
        assert not values[:20].any() and not values[-20:].any()
