"""Test the contents of a packaged bundle, that packaging is reproducible, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import monai.bundle
import pytest
import torch
import yaml
from planewise.checksum import sha256
from planewise.errors import InputError
from planewise.networks import weights_path
from planewise.own_names import forget_theirs
from planewise.packaging import archive, check_bundle, package_bundle
from planewise.packaging.bundle import Bundle
from planewise.packaging.check_bundle import checks_for
from planewise.packaging.checks.candidate import Candidate
from planewise.packaging.configs import with_values
from planewise.packaging.model_card import (
    END,
    Provenance,
    with_commands,
    with_provenance,
    with_release,
    with_training,
    with_training_data,
)
from planewise.packaging.package_bundle import _provenance
from planewise.packaging.run import Run, flat_scores
from planewise.packaging.weights import check_weights, strip_script
from planewise.reports.methods import method_name, pretext_of

from tests.bundles.conftest import tiny
from tests.conftest import ROOT
from tests.packaging.conftest import copied, source, write_run

NAME = "pretext_cardiac_multitask"
SAID = {"data": "nothing at all"}
#: The card's note on text about the repository's weights, if its own weights come from other data than phantoms.
OF_REPOSITORY = '"These weights" in it are the weights of the repository, which were trained on phantoms.'
#: What a card says of scores without `scored.json` in a run's folder.
UNRECORDED = "by the folder's name: the scores do not say which weights and exams they belong to"


def ours(data: str, folder: Path) -> Provenance:
    """The provenance of weights that ship with a bundle."""
    return Provenance({}, "", data, Run(folder, folder / "model.pt", {}, {"weights_sha256": ""}))


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
        kept = ("output_dir", "datalist", "device", "batch_size", "max_epochs", "weights", "seed")
        assert {key: after[key] for key in kept if key in after} == {key: before[key] for key in kept if key in before}
        assert text.count("#") >= (source(NAME) / "configs" / file).read_text().count("#")
        assert "with the weights that ship" not in text, "the score is that of other weights"
    metadata = json.loads((done.folder / "configs/metadata.json").read_text())
    assert metadata["eval_metrics"] == {
        "measured_on": f"section validation of nothing at all, {UNRECORDED}",
        "exams": 2,
        "mean_dice": 0.25,
    }
    assert metadata["version"] == json.loads((source(NAME) / "configs/metadata.json").read_text())["version"]
    card = (done.folder / "docs/README.md").read_text()
    for told in ("c0ffee", "seed: 7", "abc, with changes", "nothing at all", "| mean_dice | 0.25 |", "sigma: 3.5"):
        assert told in card
    # results of `planewise segment` name this checksum; that of the packaged file is another
    assert f"name these weights: {sha256(Path(weights_path(run)))}\n" in card
    for path in done.folder.rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes(), path
    # the demo's overlay has a larger network than these weights
    assert not (done.folder / "configs/demo.yaml").exists()
    weights = torch.load(done.folder / "models/model.pt", weights_only=True)
    assert type(weights) is dict and {value.device.type for value in weights.values()} == {"cpu"}
    checked = subprocess.run(["sha256sum", "--check", "--strict", archive.SUMS], cwd=done.folder, capture_output=True)
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
    assert type(network).__module__ == "scripts.networks.slice_net"
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())
    forget_theirs()
    workflow = monai.bundle.create_workflow(
        config_file=str(done.folder / "configs" / file), workflow_type=kind, logging_file=False
    )
    assert workflow.bundle_root == str(done.folder)
    forget_theirs()
    assert files_of(done.folder).status == "ok"
    (done.folder / "configs" / file).write_text("{}")
    assert "also exists as .json" in files_of(done.folder).detail


def files_of(folder: Path):
    candidate = Candidate(Bundle(folder), folder)
    return next(check(candidate) for check in checks_for(candidate) if check.name == "files")


@pytest.mark.parametrize("torchscript", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_same_input_gives_the_same_bytes(torchscript, run, tmp_path):
    """This includes TorchScript files, whose source paths and class names depend on where and when they are made."""
    first = package_bundle(source(NAME), run, tmp_path / "a", torchscript=torchscript, **SAID)
    copy = shutil.copytree(run, tmp_path / "longer name of a run")
    second = package_bundle(source(NAME), copy / "models/model.pt", tmp_path / "b", torchscript=torchscript, **SAID)
    assert first.zip.read_bytes() == second.zip.read_bytes()
    if torchscript:
        network = torch.jit.load(second.folder / "models/model.ts")
        assert network(torch.zeros(1, 1, 32, 32)).shape == (1, 3, 32, 32)
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [NAME, f"{NAME}.zip"]


def test_what_a_config_reads_is_packaged_too(tmp_path):
    """configs/3d.yaml names the permutations of puzzles of volumes."""
    name = "pretext_jigsaw"
    made = write_run(name, tmp_path / "run", tiny(name) | {"num_permutations": 6, "head_features": [4]})
    done = package_bundle(source(name), made, tmp_path / "dist", **SAID)
    file = "configs/permutations_3d.json"
    assert (done.folder / file).read_bytes() == (source(name) / file).read_bytes()
    assert "/configs/permutations_3d.json'" in (done.folder / "configs/3d.yaml").read_text()


def test_large_files_are_set_apart_for_the_zoo(tmp_path, monkeypatch):
    assert archive.LARGEST == 25_000_000
    monkeypatch.setattr(archive, "LARGEST", 1_250_000)  # the code is a megabyte
    run = write_run(NAME, tmp_path / "run", tiny(NAME) | {"features": [32, 64, 128]})
    assert (run / "models/model.pt").stat().st_size > archive.LARGEST
    apart = tmp_path / "dist" / f"{NAME}_large"
    url = (apart / "models").as_uri()  # file URLs work, too
    done = package_bundle(source(NAME), run, tmp_path / "dist", zoo_url=url, **SAID)
    assert done.large == apart and not (done.folder / "models/model.pt").exists()
    with zipfile.ZipFile(done.zip) as zip_file:
        assert f"{NAME}/models/model.pt" not in zip_file.namelist()
        zip_file.extractall(tmp_path / "there")
    (entry,) = yaml.safe_load((done.folder / "large_files.yml").read_text())["large_files"]
    assert entry["hash_val"] == hashlib.sha256((apart / "models/model.pt").read_bytes()).hexdigest()
    assert done.zip.stat().st_size < archive.LARGEST
    found = {finding.name: finding for finding in check_bundle(done.folder)}
    assert found["weights"].detail == "named in large_files.yml" and found["files"].status == "ok"
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
    """Neither packaging the run nor checking a bundle with its weights executes the configuration."""
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
    candidate = Candidate(Bundle(source(NAME)), tmp_path, run)
    found = [check(candidate) for check in checks_for(candidate) if check.name in ("weights", "TorchScript", "ONNX")]
    assert [finding.status for finding in found] == ["FAIL"] * 3, found
    assert all("which MONAI would evaluate" in finding.detail for finding in found)
    assert not mark.exists()


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [1", "!!python/object/apply:os.getcwd []"])
def test_a_runs_configuration_that_is_broken_is_named(text, run, tmp_path):
    (run / "config.yaml").write_text(text)
    with pytest.raises(InputError, match="config.yaml (cannot be read as YAML|contains no settings)"):
        package_bundle(source(NAME), run, tmp_path / "dist", **SAID)


def test_what_a_script_says_of_where_it_was_made_is_taken_out(tmp_path):
    """The same network from two source files must give the same bytes."""
    zips = []
    for name in ("one", "another_and_longer"):
        with zipfile.ZipFile(tmp_path / f"{name}.ts", "w") as script:
            script.writestr("net/code/net.py", "def forward(self): pass")
            script.writestr("net/code/net.py.debug_pkl", f"/home/{name}/net.py")
            script.writestr("net/.data/serialization_id", str(hash(name)))
        strip_script(tmp_path / f"{name}.ts")
        zips.append((tmp_path / f"{name}.ts").read_bytes())
    assert zips[0] == zips[1]
    with zipfile.ZipFile(tmp_path / "one.ts") as script:
        assert script.namelist() == ["net/code/net.py"]


def without_scores(run):
    (run / "validation").rename(run / "all")


def old_scores(run):
    os.utime(run / "validation/metrics.json", (1, 1))


def other_weights(run):
    weights = torch.load(run / "models/model.pt")
    weights["head.extra"] = weights.pop(next(iter(weights)))
    torch.save(weights, run / "models/model.pt")
    os.utime(run / "models/model.pt", (1, 1))


def diverged(run):
    weights = torch.load(run / "models/model.pt")
    next(iter(weights.values())).fill_(float("nan"))
    torch.save(weights, run / "models/model.pt")
    os.utime(run / "models/model.pt", (1, 1))


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


def the_last(run):
    (run / "models/model.pt").rename(run / "models/last.ckpt")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_scores, "these weights have no scores: there is no metrics.json .*include training exams"),
        (lambda run: shutil.rmtree(run / "validation"), "no metrics.json in .*/test or /validation. Evaluate them"),
        (old_scores, "older than the weights"),
        (other_weights, "does not fit network_def: the weights lack 1 tensors of the network .*head.extra"),
        (diverged, "not finite .* its training diverged"),
        (other_views, "does not match network_data_format .*: output channel number `2`"),
        (renamed_views, "has views .*channel_def .* does not name rvot"),
        (other_bundle, "not a run of this bundle as it is now: it has no .*sigma.*; name another run with"),
        (the_last, "belong to model.pt, not to last.ckpt; package that"),
    ],
)
def test_refused_with_the_reason_and_nothing_left_behind(spoil, reason, run, tmp_path):
    spoil(run)
    weights = run / "models/last.ckpt" if spoil is the_last else run
    with pytest.raises(InputError, match=reason):
        package_bundle(source(NAME), weights, tmp_path / "dist", **SAID)
    assert not (tmp_path / "dist").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda metadata: metadata.pop("task"), "fails metadata_schema.json: .*'task' is a required property"),
        (lambda metadata: metadata.update(version="9.9.9"), "version 9.9.9 is not in its changelog"),
    ],
)
def test_metadata_that_fails_is_refused(change, reason, run, tmp_path):
    copy = copied(NAME, tmp_path)
    metadata = json.loads((copy / "configs/metadata.json").read_text())
    change(metadata)
    (copy / "configs/metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(InputError, match=reason):
        package_bundle(copy, run, tmp_path / "dist", **SAID)


def test_places_that_are_in_use_are_refused(run, tmp_path):
    (tmp_path / "full" / NAME).mkdir(parents=True)
    with pytest.raises(InputError, match="was not packaged; remove it"):
        package_bundle(source(NAME), run, tmp_path / "full", **SAID)
    with pytest.raises(InputError, match="the training and test data of .* is not known"):
        package_bundle(source(NAME), run, tmp_path / "dist")
    with pytest.raises(InputError, match="holds the bundle itself"):
        package_bundle(source(NAME), run, source(NAME).parent, **SAID)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written to"):
        package_bundle(source(NAME), run, tmp_path / "file", **SAID)
    with pytest.raises(InputError, match="is not a bundle"):
        package_bundle(tmp_path, run, tmp_path / "dist", **SAID)


@pytest.mark.parametrize("link", ["docs/notes.txt", "docs/more", "configs/more.json", "configs/more.yaml", "LICENSE"])
def test_a_link_out_of_the_bundle_is_refused_and_one_within_is_followed(link, run, tmp_path):
    copy = copied(NAME, tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("seed: 1")
    (copy / link).unlink(missing_ok=True)
    (copy / link).symlink_to(secret)
    with pytest.raises(InputError, match=f"{copy / link} points outside the bundle, to {secret}"):
        package_bundle(copy, run, tmp_path / "dist", **SAID)
    assert not (tmp_path / "dist").exists()
    if link == "docs/notes.txt":
        (copy / link).unlink()
        (copy / link).symlink_to("data_license.txt")
        done = package_bundle(copy, run, tmp_path / "dist", **SAID)
        assert (done.folder / link).read_bytes() == (copy / link).read_bytes()


def test_scores_that_a_person_names(run, tmp_path):
    scores = tmp_path / "scores.json"
    scores.write_text('{"dice": {"mean": 0.5, "sd": 0.1, "median": 0.6}, "auc": null}')
    alone = shutil.copy(run / "models/model.pt", tmp_path / "alone.pt")
    with pytest.raises(InputError, match="there is no run next to"):
        package_bundle(source(NAME), alone, tmp_path / "dist", **SAID)
    with pytest.raises(InputError, match="does not fit network_def"):  # the bundle's own features, not those of the run
        package_bundle(source(NAME), alone, tmp_path / "dist", scores=scores, **SAID)
    done = package_bundle(source(NAME), run, tmp_path / "dist", scores=scores, **SAID)
    again = package_bundle(source(NAME), run, tmp_path / "dist", scores=scores, data="something else")  # overwrites it
    licence = (done.folder / "docs/data_license.txt").read_text()
    assert licence.startswith("Training and test data of the weights in models/: something else.\nThe terms of these")
    assert "phantom" not in licence and "is in this bundle" not in " ".join(licence.split()) and "ACDC" in licence
    licence = (source(NAME) / "docs/data_license.txt").read_text()
    of_phantoms = with_training_data(licence, Provenance({}, "", "phantoms", None))
    assert "hold no data of any patient. Add the terms of the weights here" in of_phantoms
    assert "Apache" not in of_phantoms and with_training_data(licence, ours("phantoms", tmp_path)) == licence
    assert again.folder == done.folder and "something else" in (done.folder / "docs/README.md").read_text()
    assert sorted(path.name for path in (tmp_path / "dist").iterdir()) == [NAME, f"{NAME}.zip"]
    told = json.loads((done.folder / "configs/metadata.json").read_text())["eval_metrics"]
    unknown = "as given with --scores, which do not say which weights and exams they belong to"
    where = f"{unknown}; with --data: something else"
    assert told == {"measured_on": where, "dice": 0.5, "dice_sd": 0.1}
    scores.write_text('{"dice": null}')
    with pytest.raises(InputError, match="holds no scores"):
        package_bundle(source(NAME), run, tmp_path / "dist", scores=scores, **SAID)


def test_a_card_says_how_a_run_changed_the_training_and_that_it_started_from_scratch(tmp_path):
    optimizer = {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": 0.01}
    before = {"max_epochs": 200, "learning_rate": 0.001, "optimizer": {"lr": "@learning_rate"}, "seed": 0}
    after = {"max_epochs": 2, "learning_rate": 0.003, "optimizer": optimizer, "seed": 1, "pretrained": "null"}
    before["train"] = {"trainer": ["@max_epochs", "@optimizer"]}
    config = after | {"train": before["train"], "pretrained": None}
    readme = "# Hearts, pretrained by planes\n\n## Model Description\n\nAdam, pretrained\n\n## Performance\n"
    run = Run(tmp_path, tmp_path / "model.pt", config, {})
    card = with_provenance(readme, Provenance({}, "", "", run), before)
    assert card.startswith("# Hearts\n\n## Model Description\n")
    # the run's optimiser does not use the bundle's learning rate
    assert "differs in `max_epochs: 2`, `optimizer: SGD (lr 0.01)`. Performance lists" in card
    assert "The run started from random weights" in card and "learning_rate" not in card
    metadata = {
        "name": "Hearts, pretrained by planes",
        "description": "It is pretrained to plan, then fine-tuned with 2.",
    }
    metadata["copyright"] = "us"
    metadata["data_source"] = "Hearts. Weights released with this bundle are trained on planewise phantoms only."
    found = with_training(metadata, Provenance({}, "", "phantoms", run))
    assert found["data_source"] == "Hearts. Training and test data of the weights in this bundle: phantoms."
    assert found["name"] == "Hearts" and found["description"].startswith("It is trained with 2. These weights were")
    pretrained = Run(tmp_path, tmp_path / "model.pt", config | {"pretrained": "a.pt"}, {})
    assert with_training(metadata, ours("phantoms", tmp_path)) == metadata
    for unknown, note in ((pretrained, " It is not known how the weights"), (None, "")):
        found = with_training(metadata, Provenance({}, "", "phantoms", unknown))
        assert found["name"] == metadata["name"] and found["description"].startswith(metadata["description"] + note)
    card = with_provenance(readme, Provenance({}, "", "", pretrained), before)
    assert card.startswith("# Hearts, pretrained") and "random weights" not in card


@pytest.mark.parametrize("folder", sorted((ROOT / "bundles").glob("downstream_*")), ids=lambda folder: folder.name)
def test_the_introduction_of_a_card_does_not_call_weights_from_scratch_pretrained(folder, tmp_path):
    readme = (folder / "docs/README.md").read_text()
    run = Run(tmp_path, tmp_path / "model.pt", {"pretrained": None}, {})
    title, introduction = with_provenance(readme, Provenance({}, "", "", run), {}).split("\n## ")[0].split("\n", 1)
    assert "pretrained" not in title + introduction
    start = "weights that were pretrained without"
    assert ("starting from random weights" in introduction) == (start in " ".join(readme.split()))


@pytest.mark.parametrize("folder", sorted((ROOT / "bundles").glob("*")), ids=lambda folder: folder.name)
def test_weights_of_own_images_are_nowhere_described_as_ours_or_as_trained_on_phantoms(folder, tmp_path):
    bundle = Bundle(folder)
    provenance = Provenance({}, "", "images (1 training exam)", Run(tmp_path, tmp_path / "model.pt", {}, {}))
    metadata = with_training(bundle.metadata, provenance)
    assert metadata["data_source"].endswith(" of the weights in this bundle: images (1 training exam).")
    assert metadata["copyright"] == "Copyright (c) planewise contributors (code, not weights)"
    card = with_provenance(bundle.readme, provenance, bundle.config("train.yaml"))
    for text in (metadata["data_source"], " ".join(card.split())):
        assert not re.search(r"weights are ours|[Rr]eleased (with|weights)|Code and weights|[Nn]o weights ship", text)
        assert "holds the weights that ship" not in text
    assert "\nCode: Apache License 2.0 (`LICENSE`). Weights and data sets: `docs/data_license.txt`." in card
    assert "the code is ours" in card or "code is ours" in bundle.readme
    card = with_provenance(bundle.readme, Provenance({}, "", "phantoms", None), bundle.config("train.yaml"))
    assert not re.search(r"weights are ours|[Rr]eleased weights|Code and weights", " ".join(card.split()))
    assert ("- The weights in this folder come from phantoms" in card) == ("- The released weights" in bundle.readme)
    card = with_provenance(bundle.readme, ours("phantoms", tmp_path), bundle.config("train.yaml"))
    assert "\nCode and weights: Apache License 2.0" in card and OF_REPOSITORY not in card
    assert with_training(bundle.metadata, ours("phantoms", tmp_path)) == bundle.metadata


@pytest.mark.parametrize(
    ("name", "pretext", "told"),
    [
        ("sax", "pretext_simclr", False),
        ("sax", "pretext_cardiac_location", None),
        ("sax", "pretext_cardiac_multitask", True),
        ("lax", "pretext_cardiac_lax_position", True),
        ("lax", "pretext_cardiac_multitask", None),
    ],
)
def test_a_card_does_not_claim_another_pretext_than_the_one_that_its_weights_had(name, pretext, told, tmp_path):
    """``told`` is None if the pretext used imaging planes, but not as the description says."""
    bundle, start = Bundle(ROOT / f"bundles/downstream_cardiac_{name}_segmentation"), Bundle(ROOT / "bundles" / pretext)
    run = Run(tmp_path, tmp_path / "model.pt", {"pretrained": "a.pt"}, {})
    run.__dict__["pretrained"] = Run(tmp_path, tmp_path / "a.pt", start.config("train.yaml"), {})
    provenance = Provenance({}, "", "phantoms", run)
    found = with_training(bundle.metadata, provenance)
    title = with_provenance(bundle.readme, provenance, bundle.config("train.yaml")).partition("\n")[0]
    assert ("pretrained by imaging planes" in title) == ("pretrained" in found["name"]) == (told is not False)
    assert ("It is pretrained to" in found["description"]) == (told is True)
    method = f" {method_name(pretext_of(pretext))} ("
    assert (f"These weights started from weights of the pretext{method}" in found["description"]) == (told is not True)


def test_a_card_says_that_another_network_is_not_the_one_of_the_page(tmp_path):
    network = {"_target_": "monai.networks.nets.BasicUNet", "spatial_dims": 2, "features": "@width"}
    train = {"network_def": network, "width": [8], "features": [64], "spacing": 1.0, "stem_stride": 1}
    config = train | {"features": [16], "spacing": 2.0, "train": ["@features", "@spacing", "@network_def"]}
    readme = "# A\n\n## Model Description\n\nThe pretexts' U-Net\n\n## Performance\n\nold\n"

    def lines(train: dict, config: dict) -> list[str]:
        run = Run(tmp_path, tmp_path / "model.pt", config, {})
        return with_provenance(readme, Provenance({}, "", "phantoms", run), train).splitlines()

    about = lines(train, config)
    assert about[5].startswith(
        "The network in this folder is BasicUNet (spatial_dims 2), `monai.networks.nets.BasicUNet`;"
    )
    assert about[6].startswith("The weights in this folder have `spacing: 2.0`. ")
    assert "### The bundle's default network and training" in about[7:10]
    assert "spacing: 2.0" in about and "features: [16]" not in about
    other = Provenance({}, "", "phantoms", Run(tmp_path, tmp_path / "model.pt", config, {}))
    metadata = {"name": "A", "description": "A U-Net segments.", "copyright": "us", "data_source": "Hearts."}
    assert with_training(metadata, other)["description"].endswith("`monai.networks.nets.BasicUNet` instead.")
    own = {"_target_": "planewise.networks.SliceNet", "encoder": {"features": "@width"}}
    through = {"network_def": own, "width": "@features"}
    assert "have `features: [16]`, `spacing: 2.0`. " in lines(train | through, config | through)[5]


def scored(folder: Path, weights: Path, datalist: str, section: str = "test") -> Path:
    """A file of scores that says what it belongs to."""
    folder.mkdir()
    file = folder / "metrics.json"
    file.write_text('{"dice": 0.5}')
    digests = {"weights": sha256(weights), "datalist": datalist, "metrics": sha256(file)}
    (folder / "scored.json").write_text(json.dumps({"section": section} | digests))
    return file


def test_scores_of_other_weights_or_of_the_training_exams_are_refused_and_other_exams_are_named(tmp_path):
    weights, other = tmp_path / "model.pt", tmp_path / "other.pt"
    weights.write_text("these")
    other.write_text("others")
    run = Run(tmp_path, weights, {}, {"files": {"all.json": "0wn"}})

    def told(*about: str, data: str = "nine exams", file: Path = weights) -> str:
        scores = scored(tmp_path / str(len(list(tmp_path.iterdir()))), file, *about)
        return _provenance(weights, run, scores, data).measured_on

    assert told("0wn") == "section test of nine exams"
    assert told("0ther", "all") == (
        "section all of another datalist than the run's (SHA-256 0ther); with --data: nine exams"
    )
    with pytest.raises(InputError, match="belong to other weights .* than .*model.pt; evaluate these weights"):
        told("0wn", file=other)
    for section in ("all", "training"):
        with pytest.raises(InputError, match=f"include the exams from which .* learned .--section {section}"):
            told("0wn", section)
    copied = scored(tmp_path / "changed", other, "0wn")
    copied.write_text('{"dice": 0.75}')  # so the record next to it is of other scores
    assert "do not say which weights" in _provenance(weights, run, copied, "nine exams").measured_on


def test_structures_that_were_never_predicted_are_named_on_the_card_and_while_packaging(run, tmp_path):
    file, said = tmp_path / "scores.json", []
    for names, told in ((["RV", "LV"], True), ([], False)):
        file.write_text(json.dumps({"dice": 0.0, "never_predicted": names}))
        said.clear()
        done = package_bundle(source(NAME), run, tmp_path / "dist", scores=file, say=said.append, **SAID)
        card = (done.folder / "docs/README.md").read_text()
        assert ("**Never predicted in these exams: RV, LV.**" in card) == told
        assert any(line.startswith("warning: these weights never predicted RV, LV in") for line in said) == told


def test_a_model_card_says_what_the_record_says(tmp_path):
    """Each fact about the weights has its own line, and so does everything that they were trained from."""
    config = {"train": {"pretext": {"_target_": "planewise.pretexts.TwoViewsd"}}, "loss": {"_target_": "a.NTXentLoss"}}
    start = Run(
        tmp_path, tmp_path / "a.pt", config, {"configuration": "0ther", "weights_sha256": "", "data": "5 images"}
    )
    record = {"configuration": "c0ffee", "seed": 7, "files": {"a.json": "0a", "b.json": "0b"}, "commit": "abc-dirty"}
    record |= {"python": "3.11.2", "packages": {"monai": "1.6.1", "onnx": None}}
    record |= {"started_from": {"weights": "some bundle", "sha256": "5a"}}
    changed = {"spacing": 2.0, "seed": 1, "home": "~jane", "unc": "\\\\jane", "table": {"files": ["a/b"]}}
    run = Run(tmp_path, tmp_path / "model.pt", {"imagenet": "/a/net.pth"} | changed, record)
    run.__dict__["pretrained"] = start
    provenance = Provenance({"dice": 0.5}, "ten hearts", "nine hearts", run)
    card = with_provenance("# A\n\n## Performance\n\nold\n", provenance, dict.fromkeys(["spacing", "views", *changed]))
    assert card.splitlines()[5:] == [
        "### The weights in this folder", "",
        "- measured on: ten hearts", "- training and test data: nine hearts", "- seed: 7",
        "- configuration (SHA-256): `c0ffee`", "- datalist (SHA-256): `0a`, `0b`", "- commit: abc, with changes",
        "- versions: python 3.11.2, monai 1.6.1",
        "- started from: public ImageNet weights, net.pth, with a licence of their own",
        "- started from: weights of phantoms, some bundle (SHA-256 `5a`)",
        "- started from: weights of the pretext SimCLR (TwoViewsd and NTXentLoss); configuration (SHA-256) `0ther`; training "
        "and test data: 5 images",
        "", "| score | |", "|---|---|", "| dice | 0.5 |", "",
        "The run's settings that differ from those of the bundle's `configs/train.yaml`:", "",
        "```yaml", "{spacing: 2.0, seed: 1}", "```", "",
        "The rest of this section describes the method with other weights.", END, "", "old",
    ]  # fmt: skip
    released = with_release("# A\n\n## Performance\n\nold\n", ["of the repository"])
    assert f"with other weights. {OF_REPOSITORY}\n" in with_provenance(released, provenance, {})
    # the description of the model is the paper's
    readme = "# A\n\n## Model Description\n\nof 64 channels\n\n## Performance\n\nold\n"
    lines = with_provenance(readme, provenance, {"spacing": 1.0, "seed": 0}).splitlines()
    assert lines[5] == "The weights in this folder have `spacing: 2.0`. Other sizes on this page are the paper's."
    assert lines[10] == "of 64 channels"
    assert "of 64 channels\n\n## Perf" in with_provenance(readme, provenance, {"seed": 0})
    nobodys = with_provenance("", Provenance({}, "", "", None), {})
    assert "- made by: not known: the weights come without their run\n" in nobodys
    lost = Run(tmp_path, tmp_path / "model.pt", {"pretrained": "gone.pt"}, {})
    facts = with_provenance("", Provenance({}, "", "", lost), {})
    assert "- started from: pretrained weights that were not found when this folder was packaged\n" in facts
    (tmp_path / "gone.pt").write_text("")
    lost = Run(tmp_path, tmp_path / "model.pt", {"pretrained": "gone.pt"}, {})
    facts = with_provenance("", Provenance({}, "", "", lost), {})
    assert f"weights without a record of their training (SHA-256 `{sha256(tmp_path / 'gone.pt')}`)" in facts
    assert "- commit: not known\n" in facts and "- datalist (SHA-256): not known\n" in facts


@pytest.mark.parametrize(
    ("inference", "given"), [({"input": 1}, "--input /data/exam"), ({}, "--datalist /data/datalist.json")]
)
def test_commands_of_a_package_name_what_its_inference_takes(inference, given):
    metadata = {
        "monai_version": "1",
        "pytorch_version": "2",
        "numpy_version": "3",
        "required_packages_version": {"itk": "4"},
    }
    readme = "## Commands\n\n```bash\ncd ../..\n```\n\n### Study\n\n../../tools/study\n\n## Limits\n\nolder\n"
    card = with_commands(readme, metadata, inference, "export")
    assert f"run --config_file configs/inference.yaml {given} --output_dir out\n" in card
    assert 'pip install "monai==1" "torch==2" "numpy==3" "itk==4"\n' in card and "```bash\nexport\n```" in card
    assert card.endswith(f"on phantoms, and studies.\n{END}\n\n## Limits\n\nolder\n") and ".." not in card


def test_a_card_says_what_the_distance_with_1_mm_for_missed_structures_means():
    mean = {"assd_missed_1_mm": {"mean": 1.0, "sd": 0.5, "median": 1.0}, "missed_share": 0.25}
    card = with_provenance("## Performance\n", Provenance({"mean": mean}, "", "", None), {})
    assert "| mean_missed_share | 0.25 |" in card and "do not compare it between networks that missed many" in card
    assert "do not compare" not in with_provenance("## Performance\n", Provenance({"auc": 0.5}, "", "", None), {})


@pytest.mark.parametrize(
    ("data", "text"), [("ours", "phantoms: ours"), ("Phantoms, ours", "Phantoms, ours"), (None, "phantoms: nine exams")]
)
def test_weights_of_phantoms_are_said_to_be(data, text, tmp_path):
    record = {"weights_sha256": "", "phantoms": {}, "scores": {"dice": 0.5}, "data": "nine exams"}
    (tmp_path / "model.pt").write_bytes(b"weights")
    found = _provenance(tmp_path / "model.pt", Run(tmp_path, tmp_path / "model.pt", {}, record), None, data)
    assert (found.data, found.measured_on, found.scores) == (text, f"section test of {text}", {"dice": 0.5})


def test_scores_become_one_level():
    nested = {"a b": {"c": {"mean": 1.23456, "sd": 0.5, "median": 1.0}}, "trust": {"peak": 1.0}, "n": 3, "on": True}
    assert flat_scores(nested | {"nan": float("nan"), "table": [1, 2]}) == {"a_b_c": 1.2346, "a_b_c_sd": 0.5, "n": 3}


def test_of_many_weights_that_do_not_fit_three_are_named_and_the_others_counted():
    network = torch.nn.Sequential(*(torch.nn.Linear(2, 2, bias=False) for _ in range(5)))
    weights = {name: value.half() for name, value in network.state_dict().items()}
    with pytest.raises(
        InputError, match=r"they does not fit network_def: 0\.weight .*2\.weight .*; and 2 more problems$"
    ):
        check_weights(weights, network, "they")
    weights |= dict(list(network.state_dict().items())[:2])
    # the third problem is the last one
    with pytest.raises(InputError, match=r"4\.weight has type torch\.float16, but the network's has torch\.float32$"):
        check_weights(weights, network, "they")


@pytest.mark.parametrize(
    ("name", "setting", "reason"),
    [
        (NAME, {"norm": "two"}, r"network_def cannot be built from the settings .*; correct the run's config\.yaml"),
        (
            "downstream_pancreas_segmentation",
            {"structures": {"1": "pancreas", "300": "tumour"}},
            "1 to 255.*label-map",
        ),
    ],
)
def test_settings_that_inference_cannot_use_are_refused(name, setting, reason, tmp_path):
    run = write_run(name, tmp_path / "run", tiny(name))
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config | setting, sort_keys=False))
    with pytest.raises(InputError, match=reason):
        package_bundle(source(name), run, tmp_path / "dist", **SAID)


def test_one_number_that_is_not_finite():
    network = torch.nn.Linear(2, 2)
    for number in (float("nan"), float("inf")):
        weights = {name: value.clone() for name, value in network.state_dict().items()}
        check_weights(weights, network, "they")
        weights["weight"][1, 0] = number
        with pytest.raises(InputError, match="weight is not finite: the training diverged"):
            check_weights(weights, network, "they")
