"""Test the command that trains the weights that ship, on small data."""

from __future__ import annotations

import json
import shlex
import shutil

import pytest
import yaml
from planewise.engines.run_record import RunRecord, read_table
from planewise.reports.tables import write_json
from planewise.workshop.phantoms import LAYOUTS

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
    # the network's errors against the anatomy, and the technologist's own errors
    anatomy = RunRecord.of_weights(bundles / MULTITASK / "models/model.pt").record["anatomy"]
    assert anatomy["scores"]["exams"] == 4 and anatomy["technologist"].keys() == {"2ch", "4ch"}
    assert train.main([*command, "--only", "pretext_byol"]) == 1


def test_bundles_are_changed_once_all_weights_are_made(tmp_path, monkeypatch):
    """A run that starts after a repository file has changed would record uncommitted changes."""
    content = recipe() | {"phantoms": {}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    done = []
    monkeypatch.setattr(train.Maker, "datalist", lambda self, kind: tmp_path / f"{kind}.json")
    monkeypatch.setattr(train.Maker, "_bundle_run", lambda self, bundle, configs, **_: done.append("run"))
    monkeypatch.setattr(train.Maker, "_release", lambda self, bundle, run, ships, command: done.append(bundle))
    monkeypatch.setattr(train, "save_in_half", lambda weights, ships: None)
    assert train.main([str(tmp_path / "own.yaml"), "--out", str(tmp_path / "out")]) == 0
    first = done.index(MULTITASK)
    assert set(done[:first]) == {"run"} and done[first:] == [MULTITASK, SEGMENTATION]


@pytest.mark.parametrize("present", [True, False])
def test_the_weights_that_ship_are_scored_without_a_training(present, tmp_path, monkeypatch):
    bundles, runs, indexed = tmp_path / "bundles", [], []
    monkeypatch.setenv("PLANEWISE_REAL_DATA", str(tmp_path))
    if present:
        (tmp_path / "acdc").mkdir()
    for name in (MULTITASK, SEGMENTATION):
        shutil.copytree(ROOT / "bundles" / name, bundles / name, ignore=shutil.ignore_patterns("eval"))
    monkeypatch.setattr(train.Maker, "_write_trees", lambda self, trees, folder: None)
    index = {"planewise": {}, "training": [], "exams": {}}
    monkeypatch.setattr(train.Maker, "_index", lambda self, folder, path, *_: path.write_text(json.dumps(index)))

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
        assert "0.750" in (bundles / SEGMENTATION / "configs/inference.yaml").read_text()
        # without the images, scores on patients stay with the same weights
        monkeypatch.setenv("PLANEWISE_REAL_DATA", str(tmp_path / "absent"))
        assert train.main(command) == 0 and read_table(record)["patients"] == patients
    assert after.pop("scores")["mean"] == {"dice": 0.5}
    assert before | {"scores": None} == after | {"scores": None}
    assert "| mean_dice | 0.5 |" in (bundles / SEGMENTATION / "docs/README.md").read_text()


def trees(phantoms: dict) -> list[tuple[dict, list[str]]]:
    """The settings and the words of each tree."""
    found = []
    for section in [phantoms] if "trees" in phantoms else phantoms.values():
        for tree in section["trees"].values():
            tree = {"options": tree} if isinstance(tree, str) else tree
            words = shlex.split(f"{section.get('options', '')} {tree['options']}")
            found.append((tree.get("settings", section.get("settings", {})), words))
    return found


@pytest.mark.parametrize("name", ["heart", "heart_tasks", "knee"])
def test_phantoms_have_the_options_of_a_recipe(name):
    content = yaml.safe_load((ROOT / f"tools/released/{name}.yaml").read_text())
    for settings, words in (tree for phantoms in content["phantoms"].values() for tree in trees(phantoms)):
        options = list(zip(words[::2], words[1::2], strict=True))
        assert {option for option, _ in options} <= {"--layout", "--exams", "--seed", "--set"}
        given = [f"{key}={value}" for key, value in settings.items()] + [
            text for key, text in options if key == "--set"
        ]
        LAYOUTS[dict(options)["--layout"]].population.with_text(given)


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
