"""Test the command that trains the weights that ship, on small data."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from planewise.engines.run_record import RunRecord, read_table
from planewise.reports.tables import write_json

from tests.conftest import ROOT
from tools.released import train

MULTITASK, SEGMENTATION = "pretext_cardiac_multitask", "downstream_cardiac_sax_segmentation"
SMALL = {
    "spacing": 2.9, "image_size": 96, "features": [4, 8, 16], "stem_stride": 2, "max_epochs": 1, "samples_per_epoch": 16,
    "progress": False,
}  # fmt: skip


def recipe() -> dict:
    """The heart's recipe with few exams, small networks and no patients, whose images may be absent."""
    content = yaml.safe_load((ROOT / "tools/released/heart.yaml").read_text())
    for kind in content["phantoms"].values():
        if "trees" in kind:
            name, options = next(iter(kind["trees"].items()))
            kind["trees"] = {name: f"{options} --exams 4"}
            continue
        for number, section in enumerate(kind.values()):
            name, options = next(iter(section["trees"].items()))
            section["trees"] = {name: f"{options} --exams {2 if number == 0 else 1}"}
    for asked in content["weights"].values():
        asked["settings"] = SMALL | {"val_interval": 1}
        asked.pop("patients", None)
    return content


@pytest.mark.slow  # trains two networks in separate processes
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
    # the network's errors against the anatomy
    anatomy = RunRecord.of_weights(bundles / MULTITASK / "models/model.pt").record["anatomy"]
    assert anatomy["scores"]["exams"] == 4 and "bounds" not in anatomy
    assert train.main([*command, "--only", "pretext_byol"]) == 1


@pytest.mark.parametrize("present", [True, False])
def test_the_weights_that_ship_are_scored_without_a_training(present, tmp_path, monkeypatch):
    bundles, runs, indexed = tmp_path / "bundles", [], []
    monkeypatch.setenv("PLANEWISE_REAL_DATA", str(tmp_path))
    if present:
        (tmp_path / "acdc").mkdir()
    for name in (MULTITASK, SEGMENTATION):
        shutil.copytree(ROOT / "bundles" / name, bundles / name, ignore=shutil.ignore_patterns("eval"))
    index = {"planewise": {}, "training": [], "exams": {}}
    monkeypatch.setattr(
        train.Maker, "_write_trees", lambda self, trees, folder, path, *_: path.write_text(json.dumps(index))
    )

    def run(self, bundle, configs, **given):
        runs.append((configs[1], given["weights"]))
        folder, dice = given.get("report_dir"), {"dice": {"mean": 0.75, "sd": 0.125, "median": 0.5}}
        on_patients = {"exams": 20, "mean": dice, "structures": {"LV": dice}}
        write_json(
            (folder or given["output_dir"] / "test") / "metrics.json",
            on_patients if folder else {"exams": 40, "mean": {"dice": 0.5}},
        )

    monkeypatch.setattr(train.Maker, "_bundle_run", run)
    monkeypatch.setattr(train.Maker, "_planewise", lambda self, *words: indexed.append(words))
    record = bundles / SEGMENTATION / "models/record.json"
    before = read_table(record)
    before.pop("patients", None)
    record.write_text(json.dumps(before))
    command = ["heart", "--score", "--only", SEGMENTATION, "--out", str(tmp_path / "out"), "--bundles", str(bundles)]
    assert train.main(command) == 0
    assert runs == [("configs/evaluate.yaml", bundles / SEGMENTATION / "models/model.pt")] * (1 + present)
    after = read_table(record)
    patients = after.pop("patients", None)
    assert (patients is not None) == present == bool(indexed)
    metadata = read_table(bundles / SEGMENTATION / "configs/metadata.json")["eval_metrics"]
    if present:
        assert indexed[0][1] == tmp_path / "acdc" and indexed[0][-1].endswith("acdc_sections.csv")
        assert patients["data"] == "20 patients of ACDC" and patients["scores"]["mean"]["dice"]["mean"] == 0.75
        assert [*metadata][:2] == ["measured_on", "patients_mean_dice"] and metadata["patients_mean_dice"] == 0.75
        # without the images, scores on patients stay with the same weights
        monkeypatch.setenv("PLANEWISE_REAL_DATA", str(tmp_path / "absent"))
        assert train.main(command) == 0 and read_table(record)["patients"] == patients
    assert after.pop("scores")["mean"] == {"dice": 0.5}
    assert before | {"scores": None} == after | {"scores": None}
    assert "| mean_dice | 0.5 |" in (bundles / SEGMENTATION / "docs/README.md").read_text()


@pytest.mark.parametrize("name", ["heart", "heart_tasks", "knee"])
def test_a_recipe_names_bundles_phantoms_and_overlays_that_there_are(name):
    content = yaml.safe_load((ROOT / f"tools/released/{name}.yaml").read_text())
    for bundle, asked in content["weights"].items():
        folder = ROOT / "bundles" / asked.get("bundle", bundle)
        settings = yaml.safe_load((folder / "configs/train.yaml").read_text())
        assert {name.split("#")[0] for name in asked.get("settings", {})} <= settings.keys(), bundle
        assert {asked[kind] for kind in ("phantoms", "anatomy", "bounds") if kind in asked} <= content[
            "phantoms"
        ].keys()
        assert asked.get("pretrained", bundle) in content["weights"]
        for overlay in asked["overlays"]:
            assert (ROOT / overlay if "/" in overlay else folder / "configs" / overlay).is_file()
