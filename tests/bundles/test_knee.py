"""Test what is specific to the knee's bundles: a series as a batch, stacks of unequal depth, ImageNet weights."""

from __future__ import annotations

import json

import monai
import numpy as np
import pytest
import torch
from planewise.data import load_datalist
from planewise.networks import AlexNetEncoder

from tests.bundles.conftest import run_bundle
from tests.bundles.test_masked import check_files
from tests.bundles.test_pieces import parser_of
from tests.bundles.test_runs import weights
from tests.conftest import ROOT
from tests.kinds import others_slow

SHORT = {"samples_per_epoch": 8, "max_epochs": 1, "val_interval": 1}


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


@pytest.mark.parametrize("name", others_slow(ON_KNEES, ["pretext_slice_order"]))
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
        assert scores["slice_order"]["mirrored_pairs"] > 0
        found = json.loads((file.parent / "locations.json").read_text())
        assert sorted(found["locations"]) == pytest.approx(np.linspace(0, 1, len(features)).tolist())
        assert found["verdict"].endswith("slice is on the patient's right")
