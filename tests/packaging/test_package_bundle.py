"""Test the contents of a packaged bundle, that packaging is reproducible, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import monai.bundle
import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from planewise.engines.run_record import DEFINING, own_code, plain
from planewise.errors import InputError
from planewise.files.checksum import sha256
from planewise.networks import weights_path
from planewise.settings import FILES
from planewise.workshop.packaging import package_bundle
from planewise.workshop.packaging.bundle import Bundle, check_weights
from planewise.workshop.packaging.configs import settings_of, with_values
from planewise.workshop.packaging.model_card import model_card, with_training, with_training_data
from planewise.workshop.packaging.run import Provenance, Run

from tests.bundles.conftest import BUNDLES, tiny
from tests.bundles.test_zoo import SECTIONS
from tests.documented import unknown_settings
from tests.packaging.conftest import copied, source, write_run

NAME = "pretext_cardiac_multitask"
SAID = {"data": "nothing at all"}


def ours(data: str, folder: Path) -> Provenance:
    """The provenance of weights that ship with a bundle."""
    return Provenance({}, "", data, Run(folder, folder / "model.pt", {}, {"weights_sha256": ""}), "")


@pytest.fixture
def run(tmp_path) -> Path:
    return write_run(NAME, tmp_path / "run", tiny(NAME) | {"views": ["2ch", "4ch"], "sigma": 3.5})


def test_the_runs_settings_are_in_both_configs_and_nothing_of_where_it_ran(run, tmp_path):
    done = package_bundle(source(NAME), run, tmp_path / "dist", **SAID)
    for file in ("train.yaml", "inference.yaml"):
        before = yaml.safe_load((source(NAME) / "configs" / file).read_text())
        text = (done.folder / "configs" / file).read_text()
        after = yaml.safe_load(text)
        assert after["features"] == tiny(NAME)["features"] and after["sigma"] == 3.5 and after["stem_stride"] == 2
        kept = ("output_dir", "datalist", "device", "weights", "num_workers")
        assert {key: after[key] for key in kept if key in after} == {key: before[key] for key in kept if key in before}
        assert text.count("#") >= (source(NAME) / "configs" / file).read_text().count("#")
    metadata = json.loads((done.folder / "configs/metadata.json").read_text())
    assert metadata["eval_metrics"] == {
        "measured_on": "section validation of nothing at all",
        "exams": 2,
        "mean_dice": 0.25,
    }
    assert metadata["version"] == json.loads((source(NAME) / "configs/metadata.json").read_text())["version"]
    card = (done.folder / "docs/README.md").read_text()
    for told in ("c0ffee", "seed: 7", "abc-dirty", "nothing at all", "| mean_dice | 0.25 |", "sigma: 3.5"):
        assert told in card
    # results of `planewise segment` name this checksum; that of the packaged file is another
    assert sha256(Path(weights_path(run))) in card
    for path in done.folder.rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes(), path
    assert not (done.folder / "configs/demo.yaml").exists()
    weights = torch.load(done.folder / "models/model.pt", weights_only=True)
    assert type(weights) is dict and {value.device.type for value in weights.values()} == {"cpu"}
    checked = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=done.folder, capture_output=True)
    assert checked.returncode == 0
    with zipfile.ZipFile(done.zip) as zip_file:
        entries = {entry.filename: zip_file.read(entry) for entry in zip_file.infolist()}
        assert zip_file.namelist() == sorted(zip_file.namelist())
        assert {entry.date_time for entry in zip_file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {(entry.create_system, entry.external_attr >> 16) for entry in zip_file.infolist()} == {(3, 0o100644)}
    assert entries == {
        f"{NAME}/{path.relative_to(done.folder).as_posix()}": path.read_bytes()
        for path in done.folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("kind", ["train", "infer"])
def test_a_package_is_loaded_by_its_name(kind, run, tmp_path, monkeypatch):
    """`monai.bundle.load` finds a bundle by its name and folder, and returns the network with its weights."""
    done = package_bundle(source(NAME), run, tmp_path / "dist", **SAID)
    file = {"train": "train.json", "infer": "inference.json"}[kind]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    saved = torch.load(done.folder / "models/model.pt", weights_only=True)
    network = monai.bundle.load(NAME, bundle_dir=tmp_path / "dist", workflow_type=Path(file).stem, device="cpu")
    assert type(network).__module__ == f"{own_code(done.folder).name}.networks.named_parts"
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())
    workflow = monai.bundle.create_workflow(
        config_file=str(done.folder / "configs" / file), workflow_type=kind, logging_file=False
    )
    assert workflow.bundle_root == str(done.folder)
    for path in done.folder.glob("configs/*.json"):
        if path.with_suffix(".yaml").exists():
            assert json.loads(path.read_text()) == yaml.safe_load(path.with_suffix(".yaml").read_text())


def test_the_same_input_gives_the_same_bytes(run, tmp_path):
    first = package_bundle(source(NAME), run, tmp_path / "a", **SAID)
    copy = shutil.copytree(run, tmp_path / "longer name of a run")
    second = package_bundle(source(NAME), copy / "models/model.pt", tmp_path / "b", **SAID)
    assert first.zip.read_bytes() == second.zip.read_bytes()
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [NAME, f"{NAME}.zip"]


def test_large_files_are_set_apart_for_the_zoo(tmp_path, monkeypatch):
    monkeypatch.setattr(import_module(package_bundle.__module__), "LARGEST", 1_250_000)
    run = write_run(NAME, tmp_path / "run", tiny(NAME) | {"features": [32, 64, 128]})
    assert (run / "models/model.pt").stat().st_size > 1_250_000
    apart = tmp_path / "dist" / f"{NAME}_large"
    url = (apart / "models").as_uri()  # file URLs work, too
    done = package_bundle(source(NAME), run, tmp_path / "dist", zoo_url=url, **SAID)
    assert done.large == apart and not (done.folder / "models/model.pt").exists()
    with zipfile.ZipFile(done.zip) as zip_file:
        assert f"{NAME}/models/model.pt" not in zip_file.namelist()
        zip_file.extractall(tmp_path / "there")
    (entry,) = yaml.safe_load((done.folder / "large_files.yml").read_text())["large_files"]
    assert entry["hash_val"] == hashlib.sha256((apart / "models/model.pt").read_bytes()).hexdigest()
    monai.bundle.download_large_files(str(tmp_path / "there" / NAME))
    assert (tmp_path / "there" / NAME / "models/model.pt").read_bytes() == (apart / "models/model.pt").read_bytes()


def test_a_network_of_ones_own_is_packaged_from_the_bundles_own_configs(tmp_path):
    """A run cannot bring its own network along, because its configuration is only data."""
    name = "downstream_cardiac_sax_segmentation"
    network = {
        "_target_": "monai.networks.nets.BasicUNet",
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": "$len(@structures) + 1",
    }
    network |= {"features": [4, 4, 4, 4, 4, 4], "norm": "batch"}
    run = write_run(name, tmp_path / "run", tiny(name) | {"network_def": network})
    with pytest.raises(InputError, match="has another network_def, .* copy the bundle's folder"):
        package_bundle(source(name), run, tmp_path / "dist", **SAID)
    copy = copied(name, tmp_path)
    for file in ("train.yaml", "inference.yaml"):
        path = copy / "configs" / file
        path.write_text(with_values(path.read_text(), {"network_def": network}))
    done = package_bundle(copy, run, tmp_path / "dist", **SAID)
    for file in ("train.yaml", "inference.yaml"):
        assert yaml.safe_load((done.folder / "configs" / file).read_text())["network_def"] == network


@pytest.mark.parametrize("key", ["sigma", "features", "network_def", "views"])
def test_a_runs_configuration_is_not_executed(key, run, tmp_path):
    mark = tmp_path / "executed"
    write = f"$open({str(mark)!r}, 'w').close() or 3.5"
    value = {
        "sigma": write,
        "features": [write, 8, 16],
        "network_def": {"_target_": "builtins.open", "file": str(mark), "mode": "w"},
        "views": {"_target_": "builtins.open", "file": str(mark), "mode": "w"},
    }[key]
    config = yaml.safe_load((run / "config.yaml").read_text()) | {key: value}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match=f"has another {key}, which MONAI would evaluate"):
        package_bundle(source(NAME), run, tmp_path / "dist", **SAID)
    assert not mark.exists()


def unknown_scores(run):
    (run / "validation/scored.json").unlink()


def other_weights(run):
    (run / "models/model.pt").write_bytes(b"of a later training")


def other_views(run):
    """A run with one view: the network's output is not the one in metadata.json."""
    shutil.rmtree(run)
    write_run(NAME, run, tiny(NAME) | {"views": ["4ch"]})


def renamed_views(run):
    """A run with the same number of views, so that the shapes fit."""
    shutil.rmtree(run)
    write_run(NAME, run, tiny(NAME) | {"views": ["2ch", "rvot"]})


def other_bundle(run):
    shutil.rmtree(run)
    write_run("pretext_cardiac_location", run, tiny(NAME))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: shutil.rmtree(run / "validation"), unknown_scores, other_weights, other_views, renamed_views,
        other_bundle,
    ],
)  # fmt: skip
def test_refused_and_nothing_left_behind(spoil, run, tmp_path):
    spoil(run)
    with pytest.raises(InputError):
        package_bundle(source(NAME), run, tmp_path / "dist", **SAID)
    assert not (tmp_path / "dist").exists()


def test_weights_without_a_run_are_refused_and_a_package_is_replaced(run, tmp_path):
    alone = shutil.copy(run / "models/model.pt", tmp_path / "alone.pt")
    with pytest.raises(InputError, match="there is no run next to"):
        package_bundle(source(NAME), alone, tmp_path / "dist", **SAID)
    done = package_bundle(source(NAME), run, tmp_path / "dist", **SAID)
    again = package_bundle(source(NAME), run, tmp_path / "dist", data="something else")
    assert "something else" in (done.folder / "docs/data_license.txt").read_text()
    assert again.folder == done.folder and "something else" in (done.folder / "docs/README.md").read_text()
    assert sorted(path.name for path in (tmp_path / "dist").iterdir()) == [NAME, f"{NAME}.zip"]


@pytest.mark.parametrize("name", BUNDLES)
def test_a_card_has_every_section_and_the_commands_of_its_bundle(name, tmp_path):
    bundle = Bundle(source(name))
    provenance = Provenance({"auc": 0.5}, "some images", "images", Run(tmp_path, tmp_path / "model.pt", {}, {}), "5a")
    bundle.metadata.update(with_training(bundle.metadata, provenance))
    card = model_card(bundle.readme, provenance, bundle.config("train.yaml"), bundle, "code_of_it")
    assert "$" not in card.partition("## Performance")[2].partition("## Limitations")[0] and "| auc | 0.5 |" in card
    sections = [dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.M | re.S)) for text in (bundle.readme, card)]
    assert set(sections[1]) == SECTIONS | {"Commands", "License"}
    for same in ("Authors", "Tags", "Model Description", "Data", "Limitations", "Citation", "License"):
        assert sections[1][same].strip() == sections[0][same].strip() != "not given"
    # inference, training and, if the network alone has scores, evaluation
    runs = [shlex.split(line) for line in sections[1]["Commands"].splitlines() if "monai.bundle run" in line]
    assert len(runs) == (2 if name == "pretext_contrastive_predictive_coding" else 3)
    assert [unknown_settings(words, bundle.folder) for words in runs] == [{}] * len(runs)
    assert "(code, not weights)" in bundle.metadata["copyright"] and "images" in bundle.metadata["data_source"]
    assert "(code" not in with_training(Bundle(source(name)).metadata, ours("phantoms", tmp_path))["copyright"]
    licence = (bundle.folder / "docs/data_license.txt").read_text()
    assert with_training_data(licence, provenance).endswith(f"\n\n{licence}")
    assert with_training_data(licence, ours("phantoms", tmp_path)) == licence


def as_monai_reads(name: str, *files: str) -> dict:
    return ConfigParser.load_config_files([str(source(name) / "configs" / file) for file in files])


@pytest.mark.parametrize("name", BUNDLES)
def test_a_network_of_another_config_of_the_bundle_is_in_the_packaged_configs(name, tmp_path):
    bundle = Bundle(source(name))
    configs = {file: bundle.config(file) or {} for file in ("train.yaml", "inference.yaml", *bundle.texts)}
    for overlay in [file for file, text in bundle.texts.items() if re.search(r"^network_def#", text, re.M)]:
        run = plain(as_monai_reads(name, "train.yaml", overlay))
        changed = settings_of(Run(tmp_path, tmp_path, run, {}), *configs.values())
        train, inference = (
            yaml.safe_load(with_values(bundle.texts[file], changed[file])) for file in ("train.yaml", "inference.yaml")
        )
        assert {key: value for key, value in train.items() if key not in FILES} == {
            key: value for key, value in run.items() if key not in FILES
        }
        assert inference["network"] == configs["inference.yaml"]["network"], "inference loads the package's weights"
        wanted = as_monai_reads(name, "inference.yaml", overlay)
        # the run's network may have arguments that matter only in training
        assert wanted["network_def"].items() <= inference["network_def"].items()
        assert all(inference[key] == wanted[key] for key in DEFINING[1:] if key in wanted)


def test_weights_that_do_not_fit():
    network = torch.nn.Linear(2, 3)
    fitting = {name: value.clone() for name, value in network.state_dict().items()}
    check_weights(fitting, network, "they")
    missing = {"bias": fitting["bias"]}
    for wrong in (missing, fitting | {"more": torch.zeros(1)}, fitting | {"bias": torch.zeros(4)},
                  fitting | {"weight": torch.zeros(2, 3)}):  # fmt: skip
        with pytest.raises(InputError):
            check_weights(wrong, network, "they")


def test_one_number_that_is_not_finite():
    network = torch.nn.Linear(2, 2)
    for number in (float("nan"), float("inf")):
        weights = {name: value.clone() for name, value in network.state_dict().items()}
        check_weights(weights, network, "they")
        weights["weight"][1, 0] = number
        with pytest.raises(InputError, match="weight is not finite: the training diverged"):
            check_weights(weights, network, "they")
