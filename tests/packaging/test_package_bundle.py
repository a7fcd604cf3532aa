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
from planewise.own_names import own_code
from planewise.packaging import archive, check_bundle, package_bundle
from planewise.packaging.bundle import Bundle
from planewise.packaging.check_bundle import checks_for
from planewise.packaging.checks.candidate import Candidate
from planewise.packaging.configs import with_values
from planewise.packaging.documented_runs import documented_runs
from planewise.packaging.model_card import (
    RELEASE_BEGIN,
    Provenance,
    model_card,
    with_training,
    with_training_data,
    without_release,
)
from planewise.packaging.package_bundle import _provenance
from planewise.packaging.run import Run, flat_scores
from planewise.packaging.weights import check_weights, strip_script

from tests.bundles.conftest import BUNDLES, tiny
from tests.packaging.conftest import copied, source, write_run

NAME = "pretext_cardiac_multitask"
SAID = {"data": "nothing at all"}
#: What a card says of scores without `scored.json` in a run's folder.
UNRECORDED = "by the folder's name: the scores do not say which weights and exams they belong to"


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
        kept = ("output_dir", "datalist", "device", "batch_size", "max_epochs", "weights", "seed")
        assert {key: after[key] for key in kept if key in after} == {key: before[key] for key in kept if key in before}
        assert text.count("#") >= (source(NAME) / "configs" / file).read_text().count("#")
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
    assert type(network).__module__ == f"{own_code(done.folder).name}.networks.slice_net"
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())
    workflow = monai.bundle.create_workflow(
        config_file=str(done.folder / "configs" / file), workflow_type=kind, logging_file=False
    )
    assert workflow.bundle_root == str(done.folder)
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
    assert "something else" in (done.folder / "docs/data_license.txt").read_text()
    assert again.folder == done.folder and "something else" in (done.folder / "docs/README.md").read_text()
    assert sorted(path.name for path in (tmp_path / "dist").iterdir()) == [NAME, f"{NAME}.zip"]
    told = json.loads((done.folder / "configs/metadata.json").read_text())["eval_metrics"]
    unknown = "as given with --scores, which do not say which weights and exams they belong to"
    where = f"{unknown}; with --data: something else"
    assert told == {"measured_on": where, "dice": 0.5, "dice_sd": 0.1}
    scores.write_text('{"dice": null}')
    with pytest.raises(InputError, match="holds no scores"):
        package_bundle(source(NAME), run, tmp_path / "dist", scores=scores, **SAID)


@pytest.mark.parametrize("name", BUNDLES)
def test_a_card_is_the_bundles_page_with_its_own_weights_and_commands(name, tmp_path):
    """It needs to know no sentence of the page, so a page may say it in any words."""
    bundle = Bundle(source(name))
    provenance = Provenance({"auc": 0.5}, "some images", "images", Run(tmp_path, tmp_path / "model.pt", {}, {}), "5a")
    card = model_card(bundle.readme, provenance, bundle.config("train.yaml"), bundle)
    page = without_release(bundle.readme)
    assert RELEASE_BEGIN not in card and "| auc | 0.5 |" in card
    sections = [dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.M | re.S)) for text in (page, card)]
    assert list(sections[0]) == list(sections[1])
    assert {key for key, text in sections[0].items() if sections[1][key] != text} == {"Performance", "Commands"}
    assert sections[1]["Performance"].endswith(sections[0]["Performance"])
    # inference, training and, if the network alone has scores, evaluation
    runs = documented_runs(f"## Commands\n{sections[1]['Commands']}")
    assert len(runs) == (2 if name == "pretext_contrastive_predictive_coding" else 3)
    metadata = with_training(bundle.metadata, provenance)
    changed = {key for key, value in bundle.metadata.items() if metadata[key] != value}
    assert changed == {"copyright", "data_source"}
    assert with_training(bundle.metadata, ours("phantoms", tmp_path))["copyright"] == bundle.metadata["copyright"]
    licence = (bundle.folder / "docs/data_license.txt").read_text()
    assert with_training_data(licence, provenance).endswith(f"\n\n{licence}")
    assert with_training_data(licence, ours("phantoms", tmp_path)) == licence


def test_a_model_card_has_what_the_record_has(tmp_path):
    """Each fact about the weights has its own line, and so does everything that they were trained from."""
    config = {"train": {"pretext": {"_target_": "planewise.pretexts.TwoViewsd"}}, "loss": {"_target_": "a.NTXentLoss"}}
    start = {"configuration": "0ther", "weights_sha256": "", "data": "5 images"}
    record = {"configuration": "c0ffee", "seed": 7, "files": {"a.json": "0a", "b.json": "0b"}, "commit": "abc-dirty"}
    record |= {"python": "3.11.2", "packages": {"monai": "1.6.1", "onnx": None}}
    record |= {"started_from": {"weights": "some bundle", "sha256": "5a"}}
    changed = {"spacing": 2.0, "seed": 1, "home": "~jane", "unc": "\\\\jane", "table": {"files": ["a/b"]}}
    run = Run(tmp_path, tmp_path / "model.pt", {"imagenet": "/a/net.pth"} | changed, record)
    run.__dict__["pretrained"] = Run(tmp_path, tmp_path / "a.pt", config, start)
    bundle, scores = Bundle(source(NAME)), {"mean": {"missed_share": 0.25}}
    train = dict.fromkeys(["spacing", "views", *changed])

    def card(run: Run | None) -> str:
        return model_card(bundle.readme, Provenance(scores, "ten hearts", "nine hearts", run, "d1"), train, bundle)

    for told in ("ten hearts", "nine hearts", "`c0ffee`", ": 7\n", "`0a`, `0b`", "monai 1.6.1\n", "net.pth", "`5a`", "SimCLR",
                 "`0ther`", "5 images", "d1", "\n{spacing: 2.0, seed: 1}\n", "| mean_missed_share | 0.25 |"):  # fmt: skip
        assert told in card(run), told
    for hidden in ("jane", "a/b", "/a/"):
        assert (
            hidden
            not in card(run).partition("\n## Performance\n")[2].partition("\n### The weights in the repository")[0]
        )
    (tmp_path / "gone.pt").write_text("")
    assert sha256(tmp_path / "gone.pt") in card(Run(tmp_path, tmp_path / "model.pt", {"pretrained": "gone.pt"}, {}))
    assert "c0ffee" not in card(None)


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


@pytest.mark.parametrize(("data", "text"), [("ours", "phantoms: ours"), (None, "nine exams")])
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
