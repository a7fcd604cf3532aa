"""Test that bundles train, resume and evaluate on phantom exams; `test_expected.py` also infers with all of them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from planewise.engines import CheckpointHandler, read_history
from planewise.engines.checkpoints import LAST, read_checkpoint
from planewise.exams import index_folder, write_datalist
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams

from tests.bundles.conftest import PRETEXTS, TRAINED, datalist_for, infer, run_bundle, tiny_size, train_and_evaluate
from tests.exams import damage
from tests.kinds import PRETEXT_AND_TASK, others_slow

EVALUATED = ("train.yaml", "evaluate.yaml")


def root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def weights(folder: Path, file: str = "model.pt") -> dict[str, torch.Tensor]:
    if file == LAST:
        return read_checkpoint(folder / "models")
    return torch.load(folder / "models" / file, weights_only=True)


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", others_slow(TRAINED, PRETEXT_AND_TASK))
def test_train_resume_evaluate(name, phantoms, tmp_path):
    datalist = datalist_for(name, phantoms)
    settings = {"datalist": str(datalist), "samples_per_epoch": 16, "val_interval": 1}

    # two epochs in one go, and one after the other
    run_bundle(name, *EVALUATED, run_id="train_and_evaluate", max_epochs=2, output_dir=tmp_path / "a", **settings)
    # the number of epochs is part of the configuration, so the first half is an interrupted run
    interrupted(name, "train.yaml", after_epoch=1, max_epochs=2, output_dir=tmp_path / "b", **settings)
    assert [row["epoch"] for row in read_history(tmp_path / "b/history.csv")] == [1]
    run_bundle(name, "train.yaml", max_epochs=2, output_dir=tmp_path / "b", **settings)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert same(weights(tmp_path / "a", "last.ckpt")["network"], weights(tmp_path / "b", "last.ckpt")["network"])
    history = read_history(tmp_path / "b/history.csv")
    assert [row["epoch"] for row in history] == [1, 2]
    assert (tmp_path / "a/history.csv").read_text() == (tmp_path / "b/history.csv").read_text()
    assert all(np.isfinite(row["train_loss"]) and np.isfinite(row["val_loss"]) for row in history)
    assert list((tmp_path / "a/tensorboard").glob("events*"))

    # evaluating the best weights separately gives the same scores
    section = "validation" if name in PRETEXTS else "test"
    scores = json.loads((tmp_path / "a" / section / "metrics.json").read_text())
    run_bundle(name, *EVALUATED, output_dir=tmp_path / "b", **settings)
    assert json.loads((tmp_path / "b" / section / "metrics.json").read_text()) == scores


def interrupted(name: str, *configs: str, after_epoch: int, **settings) -> None:
    """A run that stops after an epoch as if its process had been killed, without any clean-up."""

    class Killed(BaseException):
        pass

    original = CheckpointHandler._keep

    def save_and_die(self, engine):
        original(self, engine)
        if engine.state.epoch == after_epoch:
            self._write(engine.state.epoch)
            raise Killed

    CheckpointHandler._keep = save_and_die
    try:
        with pytest.raises(BaseException) as caught:
            run_bundle(name, *configs, **settings)
        assert isinstance(root_cause(caught.value), Killed)
    finally:
        CheckpointHandler._keep = original


def test_diagnosis_from_predicted_masks(phantoms, tmp_path):
    name = "downstream_cardiac_disease_classification"
    train_and_evaluate(name, phantoms.cardiac.labelled, tmp_path, section="training")
    scores = json.loads((tmp_path / "training/metrics.json").read_text())
    assert scores["macro_auc"] == 1  # scored on its own training exams: this checks only the plumbing
    header = (tmp_path / "features.csv").read_text().splitlines()[0]
    assert header.startswith("exam,group,LV ejection fraction (%)")
    # masks instead of the labels, without the left ventricle
    labels = json.loads(phantoms.cardiac.labelled.read_text())["training"]
    (tmp_path / "masks").mkdir()
    for item in labels:
        if item["exam"] == labels[0]["exam"] and item["phase"] == "ES":
            continue  # its exam is left out
        mask = nibabel.load(phantoms.cardiac.labelled.parent / item["label"])
        values = np.asarray(mask.dataobj) * (np.asarray(mask.dataobj) != 3)
        nibabel.save(
            nibabel.Nifti1Image(values, mask.affine), tmp_path / f"masks/{item['exam']}_{item['phase']}.nii.gz"
        )
    run_bundle(
        name,
        *EVALUATED,
        section="training",
        datalist=phantoms.cardiac.labelled,
        output_dir=tmp_path,
        masks=tmp_path / "masks",
        report_dir=tmp_path / "predicted",
    )
    rows = (tmp_path / "predicted/predictions.csv").read_text().splitlines()
    column = rows[0].split(",").index("LV volume at ED (ml)")
    assert {float(row.split(",")[column]) for row in rows[1:]} == {0.0}
    assert {row.split(",")[0] for row in rows[1:]} == {item["exam"] for item in labels[2:]}
    run_bundle(
        name,
        "inference.yaml",
        datalist=phantoms.cardiac.labelled,
        weights=tmp_path / "models/model.pt",
        output_dir=tmp_path / "i",
    )
    assert (tmp_path / "i/predictions.csv").exists()


def test_identity_is_in_no_output_but_the_datalist(tmp_path, monkeypatch):
    secrets = ("ZZDOE", "19470501", "Klinikum")
    population = UNLABELLED.at_size("demo").with_values(phases=2, spacing=(4.0, 4.2))
    source = tmp_path / "ZZDOE_JANE"
    list(write_exams(Recipe("dsbcc", 77, population), source, 2))
    for exam in (source / "train/train").iterdir():
        damage.identity(exam, "ZZDOE^JANE", "19470501")
    datalist = source / "datalist.json"
    write_datalist(index_folder(source, split=(1, 0, 0)).datalist, datalist)
    assert any(b"ZZDOE" in path.read_bytes() for path in source.rglob("*.dcm"))
    out = tmp_path / "out"
    name = "pretext_cardiac_multitask"
    # in the folder with the special name, so that no setting need contain the name
    monkeypatch.chdir(source)
    short = {"samples_per_epoch": 8, "max_epochs": 1, "val_interval": 1, "cache_dir": out / "cache"}
    train_and_evaluate(name, Path("datalist.json"), out / "run", section="training", **short)
    infer(name, Path(), out / "run/models/model.pt", out / "plans", **tiny_size(name))
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 20
    uids = {part for path in source.rglob("*.dcm") for part in _uids(path)}
    for path in files:
        text = path.read_bytes()
        for secret in (*secrets, *uids):
            assert secret.encode() not in text and secret not in str(path.relative_to(out)), (secret, path)


def _uids(path: Path) -> set[str]:
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True)
    return {str(header.get(key)) for key in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID") if header.get(key)}
