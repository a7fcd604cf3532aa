"""Test what is specific to the knee's bundles: a series as a batch, stacks of unequal depth, ImageNet weights."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import monai
import numpy as np
import pytest
import torch
from planewise.data import load_datalist
from planewise.networks import AlexNetEncoder

from tests.bundles.conftest import infer, run_bundle, tiny_size, train, train_and_evaluate
from tests.bundles.test_pieces import parser_of
from tests.bundles.test_restoration import check_files
from tests.bundles.test_runs import root_cause, weights
from tests.conftest import ROOT

CLASSIFIER = "downstream_knee_injury_classification"
SHORT = {"samples_per_epoch": 8, "max_epochs": 1, "val_interval": 1}


@pytest.fixture(scope="module")
def trained(phantoms, tmp_path_factory) -> Path:
    """A run of the classifier, with several exams a step."""
    folder = tmp_path_factory.mktemp("trained")
    train(
        CLASSIFIER,
        phantoms.knee.labelled,
        folder,
        batch_size=3,
        learning_rate=0.01,
        cache_dir=folder / "cache",
        **SHORT,
    )
    return folder


def test_a_pretext_step_sees_one_whole_series(phantoms, tmp_path):
    name = "pretext_knee_multitask"
    items = load_datalist(phantoms.knee.unlabelled, "training")
    sizes = {exam: sum(item["exam"] == exam for item in items) for exam in {item["exam"] for item in items}}
    parser = parser_of(name, phantoms.knee.unlabelled, tmp_path)
    trainer = parser.get_parsed_content("train#trainer")
    seen = {}
    for batch in trainer.data_loader:
        (exam,) = {trainer.data_loader.dataset.items[index]["exam"] for index in batch["index"].tolist()}
        seen[exam] = len(batch["index"])
        image, target = trainer.prepare_batch(batch, "cpu")
        assert image.shape == (seen[exam], 1, 64, 64) and target["heatmaps"].shape == (seen[exam], 2, 64, 64)
        # Eq. (4): both ends of the stack are 0, the middle is 1
        location = target["location"][batch["index"].argsort()]
        assert float(location[[0, -1]].abs().max()) < 1e-6 and float(location.max()) > 0.97
        assert torch.allclose(location, location.flip(0), atol=0.15)
    assert seen == sizes
    bounded = parser_of(name, phantoms.knee.unlabelled, tmp_path, max_slices=5).get_parsed_content("train#trainer")
    assert {len(batch["index"]) for batch in bounded.data_loader} == {5}


def test_several_exams_a_step_score_like_one(phantoms, trained, tmp_path):
    """Stacks of unequal depth are padded and masked."""
    for batch, examples in ((1, 1), (4, 0)):
        run_bundle(
            *(CLASSIFIER, "train.yaml", "evaluate.yaml"),
            **{"datalist": str(phantoms.knee.labelled), "output_dir": str(trained), "examples": examples},
            **{"batch_size": batch, "report_dir": str(tmp_path / str(batch))},
        )
    depths = {len(np.load(item["image"])) for item in load_datalist(phantoms.knee.labelled, "test")}
    assert len(depths) > 1
    rows = [
        {row["exam"]: row for row in csv.DictReader((tmp_path / f"{batch}/predictions.csv").open())} for batch in (1, 4)
    ]
    assert rows[0].keys() == rows[1].keys() and len(rows[0]) == len(load_datalist(phantoms.knee.labelled, "test"))
    for exam, row in rows[0].items():
        for task in ("abnormal", "acl", "meniscus"):
            assert float(row[f"p({task})"]) == pytest.approx(float(rows[1][exam][f"p({task})"]), abs=1e-5)
            assert row[task] in ("0", "1")
    scores = json.loads((tmp_path / "1/metrics.json").read_text())
    assert set(scores["auc"]) == {"abnormal", "acl", "meniscus"} and scores["exams"] == len(rows[0])
    assert (tmp_path / "1/roc.png").exists() and (tmp_path / "1/saliency.png").exists()


def test_weights_of_the_loss_come_from_the_exams_that_are_trained_on(phantoms, tmp_path):
    parser = parser_of(CLASSIFIER, phantoms.knee.labelled, tmp_path, num_subjects=6, subject_seed=1)
    dataset = parser.get_parsed_content("train#dataset")
    loss = parser.get_parsed_content("loss")
    assert len(dataset) == 6
    prevalence = dataset.labels.mean(dim=0)
    mixed = (prevalence > 0) & (prevalence < 1)
    assert mixed.any()
    assert torch.allclose(loss.positive[mixed], 0.5 / prevalence[mixed])
    assert torch.allclose(loss.negative[mixed], 0.5 / (1 - prevalence[mixed]))


def test_other_tasks_and_a_bound_on_the_slices(phantoms, tmp_path):
    settings = {"tasks": ["acl"], "max_slices": 5}
    parser = parser_of(CLASSIFIER, phantoms.knee.labelled, tmp_path, **settings)
    trainer = parser.get_parsed_content("train#trainer")
    image, label, _, mask = trainer.prepare_batch(next(iter(trainer.data_loader)), "cpu")
    assert image.shape == (1, 1, 64, 64, 5) and label.shape == (1, 1)
    assert trainer.network(image, **mask).shape == (1, 1)


@pytest.mark.parametrize("name", ["pretext_knee_location", CLASSIFIER])
def test_training_starts_from_imagenets_file(name, phantoms, tmp_path):
    torch.manual_seed(1)  # with the run's own seed, its random weights would equal those of the file
    encoder = AlexNetEncoder(tiny_size(name)["features"]).state_dict()
    torch.save({**encoder, "classifier.6.weight": torch.zeros(10, 4)}, tmp_path / "alexnet.pth")
    lists = phantoms.knee
    settings = {
        "datalist": str(lists.unlabelled if name.startswith("pretext") else lists.labelled),
        "imagenet": str(tmp_path / "alexnet.pth"),
        "learning_rate": 0.0,
        **SHORT,
    }
    run_bundle(name, "train.yaml", output_dir=tmp_path / "run", **settings)
    trained = weights(tmp_path / "run")
    assert all(torch.equal(trained[f"encoder.{key}"], value) for key, value in encoder.items())
    # a pretext's weights replace those of ImageNet
    other = {f"encoder.{key}": value / 2 for key, value in encoder.items()}
    torch.save(other, tmp_path / "pretext.pt")
    run_bundle(name, "train.yaml", output_dir=tmp_path / "both", pretrained=tmp_path / "pretext.pt", **settings)
    assert all(torch.equal(weights(tmp_path / "both")[key], value) for key, value in other.items())
    with pytest.raises(RuntimeError) as caught:
        run_bundle(name, "train.yaml", output_dir=tmp_path / "x", **settings | {"imagenet": str(tmp_path / "no.pth")})
    assert "there are no weights at" in str(root_cause(caught.value))


#: Pretexts of hearts with a `knee.yaml`: additional settings for training, additional settings for inference, and the
#: additional configs for inference (if there are none, the run's weights supply `knee.yaml` and the sizes).
ON_KNEES = {
    "pretext_slice_order": ({}, {"min_order": 0.0}, ("knee.yaml",)),
    # the tiles are large enough for AlexNet only after resampling
    "pretext_jigsaw": ({"tile_size": 64, "num_permutations": 10, "head_features": [8]}, {}, ()),
    "pretext_cardiac_sax_position": ({}, {"min_found": 0, "max_residual": 1e6, "min_trusted": 0.0}, ("knee.yaml",)),
    "pretext_models_genesis": ({}, {}, ()),
    "pretext_masked_autoencoder": ({}, {}, ()),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if "masked" in name else name for name in ON_KNEES]
)
def test_pretexts_of_hearts_learn_from_knees_and_imagenets_file(name, phantoms, tmp_path):
    settings, limits, overlay = ON_KNEES[name]
    size = {"features": [8, 16, 16, 16, 16], "image_size": 64, "spacing": 2.0}
    torch.manual_seed(1)  # with the run's own seed, its random weights would equal those of the file
    encoder = AlexNetEncoder(size["features"]).state_dict()
    torch.save({**encoder, "classifier.6.weight": torch.zeros(10, 4)}, tmp_path / "alexnet.pth")
    where = {"datalist": str(phantoms.knee.unlabelled), "output_dir": str(tmp_path / "run")}
    run_bundle(
        name, "train.yaml", "evaluate.yaml", "knee.yaml", run_id="train_and_evaluate", **where,
        imagenet=tmp_path / "alexnet.pth", **size | settings | SHORT | {"batch_size": 4, "learning_rate": 0.0},
    )  # fmt: skip
    trained = weights(tmp_path / "run")
    assert all(torch.equal(trained[f"encoder.{key}"], value) for key, value in encoder.items())
    scores = json.loads((tmp_path / "run/validation/metrics.json").read_text())
    assert scores["probe"]["location"]["slices"] > 0
    exam, folder = min(path for path in phantoms.knee.dicom.iterdir() if path.is_dir()), ROOT / "bundles" / name
    monai.bundle.run(
        config_file=[str(folder / "configs" / file) for file in ("inference.yaml", *overlay)], bundle_root=str(folder),
        logging_file=False, input=str(exam), weights=str(tmp_path / "run"), output_dir=str(tmp_path / "out"),
        **limits | (size if overlay else {}),
    )  # fmt: skip
    if "position" in name:
        names = list(scores["positions"]["squares"])
        assert names[1::2] == ["anterior", "posterior", "superior", "inferior"]
        (found,) = (tmp_path / "out").rglob("positions.json")
        assert list(json.loads(found.read_text())["slices"][0]["centres"]) == names
        return
    if "restoration" in scores:
        assert any(key.startswith("decoder.") for key in trained)
        assert scores["restoration"]["images"] == scores["slices"]
        check_files(tmp_path / "out", 16)
    (file,) = (tmp_path / "out").rglob("features.npy")
    features = np.load(file)
    assert features.shape[1] == 16 and np.isfinite(features).all()
    if name == "pretext_slice_order":
        (first, *_) = csv.DictReader((tmp_path / "run/validation/order_accuracy.csv").open())
        assert set(first) == {"distance_from", "distance_to", "mirrored", "pairs", "accuracy"}
        assert scores["slice_order"]["mirrored_pairs"] > 0
        found = json.loads((file.parent / "locations.json").read_text())
        assert sorted(found["locations"]) == pytest.approx(np.linspace(0, 1, len(features)).tolist())
        assert found["verdict"].endswith("slice is on the patient's right")


def test_findings_of_a_dicom_exam_with_labels_from_a_csv(phantoms, tmp_path):
    """People's own knees: DICOM and a table."""
    from planewise.exams import index_folder, write_datalist

    exams = sorted(path.name for path in phantoms.knee.dicom.iterdir() if path.is_dir())
    lines = [f'"{exam}",{number % 2},{int(number % 3 == 0)}' for number, exam in enumerate(exams)]
    (tmp_path / "findings.csv").write_text("\n".join(["exam,abnormal,acl", *lines]) + "\n")
    result = index_folder(
        phantoms.knee.dicom, anatomy="knee", classes=tmp_path / "findings.csv", split=(0.6, 0.0, 0.4), seed=1
    )
    write_datalist(result.datalist, tmp_path / "own.json")
    train_and_evaluate(
        CLASSIFIER, tmp_path / "own.json", tmp_path / "run", examples=0, tasks=["abnormal", "acl"], **SHORT
    )
    assert json.loads((tmp_path / "run/test/metrics.json").read_text())["exams"] > 0
    infer(CLASSIFIER, phantoms.knee.dicom / exams[0], tmp_path / "run", tmp_path / "out", tasks=["abnormal", "acl"])
    (found,) = (tmp_path / "out").rglob("findings.json")
    assert set(json.loads(found.read_text())["probabilities"]) == {"abnormal", "acl"}


def test_a_stack_that_is_no_sagittal_series_is_not_judged(trained, real_data, real_localizers, tmp_path):
    def judged(source: Path) -> list[dict]:
        out = tmp_path / source.name
        infer(CLASSIFIER, source, trained, out)
        rows = list(csv.DictReader((out / "predictions.csv").open()))
        found = [json.loads(path.read_text()) for path in sorted(out.rglob("findings.json"))]
        assert len(rows) == len(found)
        assert {row["remark"] for row in rows} == {entry["remark"] or "" for entry in found}
        return found

    (phantom,) = judged(real_data / "phantom_philips")
    assert phantom["probabilities"] is None and "(the largest has 1)" in phantom["remark"]
    assert not list((tmp_path / "phantom_philips").rglob("saliency.png"))
    heads = judged(real_data / "localizer_ge")
    assert len(heads) == 2
    assert all(head["probabilities"] is None and "of a head" in head["remark"] for head in heads)
    # a localizer is read, with a note that it may be unsuitable
    localizers = judged(real_localizers)
    assert len(localizers) == 2
    for entry in localizers:
        assert set(entry["probabilities"]) == {"abnormal", "acl", "meniscus"} and "is only 0" in entry["remark"]


def test_weights_of_other_tasks_are_refused_with_a_message(phantoms, tmp_path):
    settings = {"datalist": str(phantoms.knee.labelled), "output_dir": str(tmp_path)}
    run_bundle(CLASSIFIER, "train.yaml", tasks=["acl"], **SHORT, **settings)
    with pytest.raises(RuntimeError) as caught:
        run_bundle(CLASSIFIER, "train.yaml", "evaluate.yaml", tasks=["abnormal", "acl"], **settings)
    assert "head.1.weight is (1, 16) there and (2, 16) here" in str(root_cause(caught.value))
    # the weights determine the task; without pictures, the scores are still written
    run_bundle(CLASSIFIER, "train.yaml", "evaluate.yaml", examples=0, **settings)
    assert set(json.loads((tmp_path / "test/metrics.json").read_text())["auc"]) == {"acl"}


def test_identity_is_in_no_finding(trained, tmp_path, caplog):
    import pydicom
    from planewise.workshop.phantoms import KNEE_UNLABELLED, Recipe, write_exams

    population = KNEE_UNLABELLED.at_size("demo").with_values(spacing=(2.2, 2.6))
    recipe = Recipe("fastmri", 78, population, ("identity",), patient_name="ZZDOE^JANE", birth_date="19470501")
    source = tmp_path / "ZZDOE_JANE"
    list(write_exams(recipe, source, 1))
    files = list(source.rglob("*.dcm"))
    assert any(b"ZZDOE" in path.read_bytes() for path in files)
    out = tmp_path / "out"
    caplog.set_level("INFO", "planewise")
    infer(CLASSIFIER, source, trained, out)
    secrets = {"ZZDOE", "19470501"}
    for path in files:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        secrets |= {
            str(header[key].value) for key in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID") if key in header
        }
    written = [path for path in out.rglob("*") if path.is_file()]
    assert {"findings.json", "saliency.png", "predictions.csv"} <= {path.name for path in written}
    for path in written:
        for secret in secrets:
            assert secret.encode() not in path.read_bytes() and secret not in str(path.relative_to(out)), (secret, path)
    # MONAI repeats the command line including the path; our own messages name the exam by its hash
    said = [record.getMessage() for record in caplog.records if record.name.startswith("planewise")]
    assert said and not [text for text in said for secret in secrets if secret in text]
