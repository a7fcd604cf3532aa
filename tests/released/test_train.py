"""The command that makes the weights that ship, at a size for tests."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from planewise.engines.run_record import RunRecord

from tests.conftest import ROOT
from tools.released import train

MULTITASK, SEGMENTATION = "pretext_cardiac_multitask", "downstream_cardiac_sax_segmentation"
SMALL = {
    "spacing": 5.8, "image_size": 48, "features": [4, 8, 16], "stem_stride": 2, "max_epochs": 1, "samples_per_epoch": 16,
    "progress": False,
}  # fmt: skip


def recipe() -> dict:
    """The heart's, with few exams and small networks."""
    content = yaml.safe_load((ROOT / "tools/released/heart.yaml").read_text())
    for kind in content["phantoms"].values():
        if "trees" in kind:
            name, options = next(iter(kind["trees"].items()))
            # two phases each: enough planes to bound their errors
            kind["trees"] = {name: f"{options} --exams 5"}
            continue
        for number, section in enumerate(kind.values()):
            name, options = next(iter(section["trees"].items()))
            section["trees"] = {name: f"{options} --exams {2 if number == 0 else 1}"}
    for asked in content["weights"].values():
        asked["settings"] = SMALL | {"val_interval": 1}
    return content


@pytest.mark.slow  # trains two networks in processes of their own
def test_a_recipe_puts_weights_their_record_and_their_settings_into_the_bundles(tmp_path):
    bundles = tmp_path / "bundles"
    for name in (MULTITASK, SEGMENTATION, "pretext_cardiac_sax_position"):
        shutil.copytree(ROOT / "bundles" / name, bundles / name, ignore=shutil.ignore_patterns("eval", "models"))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe()))
    command = [str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "out"), "--bundles", str(bundles), "--workers", "1"]
    assert train.main(command) == 0
    for name in (MULTITASK, SEGMENTATION):
        run = RunRecord.of_weights(bundles / name / "models/model.pt")
        assert run.ships and run.config["features"] == [4, 8, 16] and run.config["output_dir"].startswith("$")
        text = (bundles / name / "configs/inference.yaml").read_text() + json.dumps(run.record)
        assert "features: [4, 8, 16]" in text and str(tmp_path) not in text
        metadata = json.loads((bundles / name / "configs/metadata.json").read_text())
        assert "phantoms (2 training, 1 validation, 1 test exams)" in metadata["eval_metrics"]["measured_on"]
        assert run.record["weights_sha256"] and run.record["phantoms"]["test"]["trees"]
    bounds = RunRecord.of_weights(bundles / MULTITASK / "models/model.pt").record["measured"]["plane_bounds"]
    assert bounds["measured_on"] == "5 phantom exams" and bounds["2ch"]["angle_deg"][0] >= 0
    assert yaml.safe_load((bundles / MULTITASK / "configs/inference.yaml").read_text())["plane_bounds"] == bounds
    assert train.main([*command, "--only", "pretext_byol"]) == 1


def test_what_is_no_recipe_is_said(tmp_path, capsys):
    (tmp_path / "other.yaml").write_text("a: 1")
    assert train.main([str(tmp_path / "other.yaml")]) == 1 and train.main(["toe"]) == 1
    said = capsys.readouterr().err
    assert "is not a recipe of weights" in said and "there is no recipe" in said and "name heart" in said
