"""Test the messages of the check for a correct bundle and for one with each flaw."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import planewise.packaging
import pytest
import torch
import typer
import yaml
from jsonschema import Draft202012Validator
from monai.data import MetaTensor
from planewise.commands.check import check
from planewise.commands.package import package
from planewise.errors import InputError
from planewise.networks import read_weights
from planewise.own_names import own_code
from planewise.packaging import Finding, archive, check_bundle, checks, package_bundle
from planewise.packaging.bundle import SCHEMA, Bundle
from planewise.packaging.check_bundle import checks_for
from planewise.packaging.checks.candidate import Candidate
from planewise.packaging.checks.finding import Remark
from planewise.packaging.checks.ours import no_absolute_paths
from planewise.packaging.documented_runs import documented_runs
from planewise.packaging.onnx_options import onnx_options
from typer.testing import CliRunner

from tests.bundles.conftest import tiny
from tests.conftest import ROOT
from tests.packaging.conftest import copied, source, write_run

NAME = "pretext_cardiac_location"


def findings(folder, **options):
    return {finding.name: finding for finding in check_bundle(folder, **options)}


def finding(name, folder, scratch):
    """The result of a single check."""
    candidate = Candidate(Bundle(folder), scratch)
    (check,) = (check for check in checks_for(candidate) if check.name == name)
    return check(candidate)


def edited(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


@pytest.fixture
def copy(tmp_path):
    """A bundle to modify, with a network small enough for frequent checks."""
    folder = copied(NAME, tmp_path)
    for file in ("train.yaml", "inference.yaml"):
        path = folder / "configs" / file
        path.write_text(re.sub(r"^features: .*$", "features: [4, 4, 4, 4, 4]", path.read_text(), flags=re.M))
    return folder


#: Maps checks to a file, a text in it, the text that replaces it, and what the check then says.
SPOILT = {
    "files": ("docs/data_license.txt", None, None),
    "model card": ("docs/README.md", "## Limitations", "## Praise"),
    "metadata": ("configs/metadata.json", '"task":', '"tusk":'),
    "versions": ("configs/metadata.json", '"pytorch_version": "2.13.0"', '"pytorch_version": "2.13.0+cpu"'),
    "channels": ("configs/metadata.json", '"pred": {', '"logits": {'),
    "configs stand alone": ("configs/inference.yaml", "spacing: 1.26", "spacing: '%train.yaml#spacing'"),
    "no absolute paths": ("configs/train.yaml", "$str(@bundle_root) + '/data'", "/home/jane/data"),
    "handlers": (
        "configs/inference.yaml",
        "{_target_: planewise.engines.WeightsLoader, network: '@network', weights: '@weights'}",
        "{_target_: CheckpointLoader, load_path: '@weights', load_dict: {model: '@network'}}",
    ),
    "names in train.yaml": ("configs/train.yaml", "train_handlers: '@train#handlers'", "train_handlers: []"),
    "names that MONAI Label sets": ("configs/train.yaml", "max_epochs: '@max_epochs', ", ""),
    "network in inference.yaml": ("configs/metadata.json", '"16*n"', '"23-7*n"'),  # 16 at n = 1, 2 at n = 3
    "documented commands": (
        "docs/README.md",
        "--output_dir",
        "--output_dr",
        "no config has --output_dr (did you mean --output_dir?)",
    ),
    "MONAI Label inference": (
        "configs/inference.yaml",
        "  - {_target_: planewise.evaluation.LabelSlicesd, mapping: '@mapping', min_order: '@min_order'}\n",
        "",
        "the result contains fractions",
    ),
    # MONAI Label answers 500 to any request for them
    "MONAI Label inference of NaN": (
        "configs/inference.yaml",
        "handlers:\n",
        '  - {_target_: Lambdad, keys: result, func: \'$lambda result: result | {"order": float("nan")}\'}\nhandlers:\n',
        "result is not valid JSON (Out of range float values",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_each_flaw_is_found(name, copy, tmp_path):
    file, old, new, *said = SPOILT[name]
    if old is None:
        (copy / file).unlink()
    else:
        (copy / file).write_text(edited((copy / file).read_text(), old, new))
    found = finding(name.removesuffix(" of NaN"), copy, tmp_path)
    assert found.status == ("warning" if name == "documented commands" else "FAIL")
    assert found.detail and all(words in found.detail for words in said)


@pytest.mark.parametrize(("content", "reason"), [(b'{"name": "caf\xe9"}', "it is not UTF-8 text"), (b"{", "Expecting")])
def test_metadata_that_cannot_be_read_are_named_once(copy, content, reason):
    (copy / "configs/metadata.json").write_bytes(content)
    (found,) = check_bundle(copy)
    assert (found.status, found.name) == ("FAIL", "metadata")
    assert found.detail.startswith(f"{copy}/configs/metadata.json cannot be read as JSON ({reason}"), found.detail


@pytest.mark.parametrize("path", ["/home/jane/data", "/Users/jane/data", "/root/data", "C:\\jane\\data"])
@pytest.mark.parametrize("file", ["configs/train.yaml", "metadata.json", "README.md"])
def test_a_path_of_any_system_is_found_in_any_text(path, file, tmp_path):
    texts = {"configs/train.yaml": "dataset_dir: /data/exams", "metadata.json": "{}", "README.md": "/data/exams"}
    texts[file] += f"  {path}"
    (tmp_path / "metadata.json").write_text(texts.pop("metadata.json"))
    bundle = SimpleNamespace(metadata_file=str(tmp_path / "metadata.json"), readme=texts.pop("README.md"), texts=texts)
    with pytest.raises(InputError, match=re.escape(f"{file}: {path}")):
        no_absolute_paths(SimpleNamespace(bundle=bundle))


def test_every_section_of_a_model_card_and_every_file_of_the_zoo_is_asked_for(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/metadata.json").write_text("{}")
    candidate = Candidate(Bundle(tmp_path), tmp_path)
    configs = "configs/train.yaml, configs/evaluate.yaml, configs/inference.yaml, configs/logging.conf"
    with pytest.raises(InputError, match=f"^missing: LICENSE, {configs}, docs/README.md, docs/data_license.txt$"):
        checks.zoo.files(candidate)
    sections = "Authors, Tags, Model Description, Data, Performance, System Configuration, Limitations, Citation"
    with pytest.raises(InputError, match=f"^docs/README.md has no section {sections}$"):
        checks.ours.model_card(candidate)


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("inference.yaml", ("network_def", "preprocessing", "inferer", "postprocessing", "device")),
        (
            "train.yaml",
            (
                "run",
                "device",
                "train#trainer#max_epochs",
                "train#dataset#data",
                "validate#dataset#data",
                "train#handlers",
            ),
        ),
    ],
)
def test_every_name_that_monai_label_sets_is_asked_for(file, names):
    """Its inference and its training override these keys (`monailabel.tasks.infer.bundle` and `.train.bundle`)."""
    for name in names:
        bundle = Bundle(source(NAME))
        config = bundle.config(file)
        *above, last = name.split("#")
        part = config
        for key in above:
            part = part[key]
        del part[last]
        bundle.texts[file] = yaml.safe_dump(config)
        with pytest.raises(InputError, match=f"^{file} lacks {name}$"):
            checks.label.settable_names(SimpleNamespace(bundle=bundle, takes_images=True))


REQUIRED = [
    "schema", "version", "changelog", "monai_version", "pytorch_version", "numpy_version", "required_packages_version",
    "task", "description", "authors", "copyright", "network_data_format",
]  # fmt: skip
OF_A_TENSOR = ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "is_patch_data"]


def test_the_schema_asks_for_what_the_published_one_asks_for():
    content = json.loads((source(NAME) / "configs/metadata.json").read_text())
    schema = Draft202012Validator(json.loads(SCHEMA.read_text()))
    assert schema.is_valid(content)
    image = content["network_data_format"]["inputs"]["image"]
    spoilt = [{key: value for key, value in content.items() if key != name} for name in REQUIRED]
    changed = [{key: value for key, value in image.items() if key != name} for name in OF_A_TENSOR]
    changed += [
        image | {"num_channels": 0},
        image | {"channel_def": {"first": "image"}},
        image | {"value_range": [0, "1"]},
    ]
    spoilt += [
        content | {"network_data_format": content["network_data_format"] | {part: {name: tensor}}}
        for part, name in (("inputs", "image"), ("outputs", "pred"))
        for tensor in changed
    ]
    spoilt += [
        content | {"network_data_format": content["network_data_format"] | {part: {"other": image}}}
        for part in ("inputs", "outputs")
    ]
    spoilt += [content | {name: "1.x"} for name in REQUIRED if name.endswith("version") and name[0] in "vmpn"]
    assert [number for number, wrong in enumerate(spoilt) if schema.is_valid(wrong)] == []


def with_channels(names):
    form = {"inputs": {"image": {}}, "outputs": {"pred": {"channel_def": names}}}
    return SimpleNamespace(bundle=SimpleNamespace(name="segmentation", metadata={"network_data_format": form}))


def with_text(text):
    return SimpleNamespace(bundle=SimpleNamespace(texts={"inference.yaml": text}))


def result(shape, **item):
    """An item as postprocessing returns it for an image of 6 x 5 pixels, three slices."""
    image = MetaTensor(torch.zeros(1, 6, 5, 3), meta={"spatial_shape": np.array([6, 5, 3])})
    return SimpleNamespace(name="segmentation"), {
        "image_path": "a.nii.gz",
        "image": image,
        "pred": torch.ones(shape),
    } | item


@pytest.mark.parametrize(
    ("check", "given", "said"),
    [
        ("channels", [with_channels({"0": "LV", "1": "lv"})], "two names in channel_def are equal in lower case"),
        ("channels", [with_channels({"0": "LV", "1": "RV"})], "call it background"),
        ("_check_result", result((1, 6, 5, 3), image_path="a.png"), "png cannot hold the labels"),
        ("channels", [with_channels({"first": "LV"})], "the keys of channel_def must be numbers"),
        ("stand_alone", [with_text("a: '@_meta_#version'")], "inference.yaml refers to metadata.json"),
        ("_check_handlers", [{}, "train.yaml", "train"], "train.yaml: train handlers must be a list"),
        ("_check_handlers", [["x"], "train.yaml", "train"], "train.yaml: every entry of the train handlers must be"),
        ("_check_result", result((1, 6, 5, 3)), None),
        ("_check_result", result((2, 6, 5, 3)), "2 channels are left; MONAI Label writes one"),
        ("_transforms", [abs], "a single transform is neither a Compose nor a list"),
    ],
)
def test_what_monai_label_could_not_use_is_said(check, given, said):
    run = getattr(checks.label, check)
    if said is None:
        run(*given)
        return
    with pytest.raises(InputError, match=said):
        run(*given)


def test_a_percent_sign_within_a_text_is_no_other_file():
    checks.label.stand_alone(with_text("a: 50 % of it  # @_meta_\nb: '90 %'\n"))


def test_an_example_has_sides_that_differ():
    """n is 2 in the formula of the first side and 3 in that of the second; at n = 1, they are 16 pixels."""
    assert Candidate(Bundle(source(NAME)), Path()).example.shape == (2, 1, 32, 48)


def test_a_shape_in_metadata_is_not_executed(copy, tmp_path):
    mark = tmp_path / "executed"
    metadata = (copy / "configs/metadata.json").read_text()
    evil = json.dumps(f"[open({str(mark)!r}, 'w').close(), 16][1]")
    (copy / "configs/metadata.json").write_text(metadata.replace('"16*n"', evil))
    for name in ("network in inference.yaml", "network in train.yaml", "TorchScript"):
        found = finding(name, copy, tmp_path)
        assert found.status == "FAIL" and "is not a valid size" in found.detail, found
    assert not mark.exists()


KNEE = "downstream_knee_injury_classification"


@pytest.mark.parametrize("marked", [True, False])
def test_numbers_that_monai_label_would_resize_are_found(marked, tmp_path):
    """Without the metadata that marks them as numbers, MONAI Label answers every request with 500."""
    folder = copied(KNEE, tmp_path)
    config = folder / "configs/inference.yaml"
    text = re.sub(r"^features: .*$", "features: [4, 4, 4, 4, 4]", config.read_text(), flags=re.M)
    step = "  - _target_: planewise.evaluation.AsNumbersd  # makes plain numbers for MONAI Label\n"
    config.write_text(text if marked else edited(text, step, ""))
    found = finding("MONAI Label inference", folder, tmp_path)
    if marked:
        assert found.status == "ok", found
    else:
        assert found.status == "FAIL" and "MONAI Label answers 500: its Restored" in found.detail


def test_a_pretext_that_needs_no_label_learns_from_the_images(tmp_path):
    for name in ("pretext_jigsaw", "pretext_masked_autoencoder", "pretext_models_genesis", "pretext_slice_order"):
        found = finding("MONAI Label training", ROOT / "bundles" / name, tmp_path / name)
        assert (found.status, found.detail) == ("ok", "learns from 3 slices of a volume, without their masks")


def test_a_training_that_has_nothing_to_learn_is_found(copy, tmp_path):
    """A bundle must refuse a server's training data with its own message, or learn from the labels."""
    refused = finding("MONAI Label training", copy, tmp_path)
    assert refused.status == "ok" and "is refused: none of the 3 slices has location" in refused.detail
    config = copy / "configs/train.yaml"
    sound = config.read_text()
    config.write_text(edited(sound, " targets: '@train#targets',", ""))
    silent = finding("MONAI Label training", copy, tmp_path / "silent")
    assert silent.status == "FAIL" and "have neither labels nor targets" in silent.detail
    config.write_text(
        edited(
            sound,
            "planewise.pretexts.SliceLocationd, mapping: '@mapping'",
            "planewise.pretexts.PlaneHeatmapsd, sigma: 1",
        )
    )
    crash = finding("MONAI Label training", copy, tmp_path / "crash")
    assert (
        crash.status == "FAIL" and "ends with KeyError: 'planes'; raise an InputError with the reason" in crash.detail
    )


DISEASE = "downstream_cardiac_disease_classification"


@pytest.mark.parametrize("refuses", [True, False])
def test_an_image_that_a_network_cannot_take_is_refused_in_words(refuses, tmp_path):
    folder = copied(DISEASE, tmp_path)
    if not refuses:
        config = folder / "configs/inference.yaml"
        alone = "preprocessing:\n  _target_: planewise.preprocessing.CardiacFeaturesd\n  classes: '@classes'\n"
        config.write_text(re.sub(r"preprocessing:.*\n(  .*\n)*", alone, config.read_text(), count=1))
    found = finding("MONAI Label inference", folder, tmp_path)
    if refuses:
        assert found.status == "warning" and "MONAI Label answers: this bundle takes masks" in found.detail
    else:
        assert found.status == "FAIL" and "MONAI Label answers 500: a single transform" in found.detail


@pytest.mark.skipif(not (find_spec("onnx") and find_spec("onnxruntime")), reason="needs onnx and onnxruntime")
def test_an_onnx_file_that_holds_for_its_example_alone_is_found(copy, tmp_path, monkeypatch):
    """In a traced network, branches and sizes are fixed to those of the example."""
    assert finding("ONNX", copy, tmp_path).detail.startswith("opset ")

    def narrow(bundle, settings):
        options = onnx_options(bundle, settings)
        return replace(options, names={"image": {}, "pred": {}})

    monkeypatch.setattr(checks.ours, "onnx_options", narrow)
    found = finding("ONNX", copy, tmp_path)
    assert found.status == "FAIL" and "Got: 2 Expected: 1" in found.detail


def test_a_flaw_costs_its_own_line_and_no_other(copy):
    """Check a correct bundle completely; after one change, all other lines stay the same."""
    sound = findings(copy)
    assert {found.name for found in sound.values() if found.status == "warning"} == {"weights"}
    assert "FAIL" not in {found.status for found in sound.values()}
    (copy / "LICENSE").unlink()
    spoilt = findings(copy)
    assert list(spoilt) == list(sound)
    assert [name for name in sound if spoilt[name].status != sound[name].status] == ["files"]


@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("configs/train.yaml", lambda folder: next(check_bundle(folder))),
        ("docs/README.md", lambda folder: Bundle(folder).readme),
    ],
)
def test_a_file_that_is_not_utf_8_is_named(file, read, copy):
    (copy / file).write_bytes("# größer".encode("latin-1"))
    with pytest.raises(InputError, match=rf"{file} cannot be read as text \(it is not UTF-8 text: save it in UTF-8\)"):
        read(copy)


def test_scores_and_weights_and_inference(copy, tmp_path):
    metadata = json.loads((copy / "configs/metadata.json").read_text())
    (copy / "configs/metadata.json").write_text(json.dumps(metadata | {"eval_metrics": {"measured_on": "nothing"}}))
    config = copy / "configs/inference.yaml"
    config.write_text(edited(config.read_text(), "_target_: Invertd", "_target_: CopyItemsd, _disabled_: true"))
    torch.save({"encoder.weight": torch.zeros(2)}, tmp_path / "other.pt")
    found = findings(copy, weights=tmp_path / "other.pt")
    failed = {name for name, finding in found.items() if finding.status == "FAIL"}
    assert failed >= {"scores", "weights", "TorchScript"}
    assert "does not fit network_def" in found["weights"].detail


def test_scores_of_words_alone(copy, tmp_path):
    """A placeholder is not a score."""
    metadata = json.loads((copy / "configs/metadata.json").read_text())
    (copy / "configs/metadata.json").write_text(
        json.dumps(metadata | {"eval_metrics": {"mean_error": "to be measured"}})
    )
    found = finding("scores", copy, tmp_path)
    assert found.status == "FAIL" and "holds no number" in found.detail


def test_a_runs_last_checkpoint_is_no_large_file_of_the_bundle(copy, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST", 10**6)
    for name in ("eval/models/big.pt", "models/last.ckpt", "models/model.pt"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(bytes(10**6 + 1))
    found = finding("files", copy, tmp_path)
    assert found.status == "warning" and found.detail.startswith("over 25 MB: models/model.pt; the zoo")
    (copy / "models/model.pt").unlink()
    assert finding("files", copy, tmp_path).status == "ok"
    (copy / "configs/multi_gpu_train.yaml").unlink()
    found = finding("files", copy, tmp_path)
    assert (found.status, found.detail) == ("warning", "there is no configs/multi_gpu_train.yaml")


def test_weights_are_read_once(copy, tmp_path, monkeypatch):
    """The exports and the check of the weights use the same network, with weights that were read once."""
    reads = []
    monkeypatch.setattr(checks.candidate, "read_weights", lambda path: reads.append(path) or read_weights(path))
    torch.manual_seed(1)
    torch.save(Bundle(copy).network().state_dict(), tmp_path / "trained.pt")
    candidate = Candidate(Bundle(copy), tmp_path, tmp_path / "trained.pt")
    exported = {
        check.name: check(candidate) for check in checks_for(candidate) if check.name in ("weights", "TorchScript")
    }
    assert {found.status for found in exported.values()} == {"ok"} and len(reads) == 1
    script, saved = torch.jit.load(tmp_path / "model.ts"), torch.load(tmp_path / "trained.pt", weights_only=True)
    for state in (candidate.trained_network.state_dict(), script.state_dict()):
        assert all(torch.equal(state[name], value) for name, value in saved.items())


def test_a_packaged_bundle(tmp_path):
    done = package_bundle(
        source(NAME), write_run(NAME, tmp_path / "run", tiny(NAME)), tmp_path / "dist", data="phantoms"
    )
    found = findings(done.folder)
    assert {found[name].status for name in ("code", "sums", "weights", "required packages")} == {"ok"}
    with pytest.raises(InputError, match="is already packaged; name the bundle in the repository"):
        package_bundle(done.folder, dist=tmp_path / "again")
    # nothing remains of it, in memory or on disk
    code = own_code(done.folder)
    assert code.name not in sys.modules and not list(done.folder.rglob("__pycache__"))
    config = done.folder / "configs/inference.yaml"
    config.write_text(
        edited(
            config.read_text(),
            f"{code.name}.preprocessing.StandardizeSliced",
            "planewise.preprocessing.StandardizeSliced",
        )
    )
    (code / "errors.py").unlink()
    (done.folder / "models/model.pt").unlink()
    found = findings(done.folder)
    assert {found[name].status for name in ("code", "sums", "weights")} == {"FAIL"}
    assert "models/model.pt" in found["sums"].detail
    assert found["weights"].detail == "there is neither models/model.pt nor large_files.yml that names it"


@pytest.mark.parametrize(
    ("name", "remarks"),
    [(NAME, set()), (DISEASE, {("warning", "files"), ("warning", "MONAI Label inference")})],
)
def test_a_packaged_bundle_passes(name, remarks, packaged):
    found = check_bundle(packaged(name, data="phantoms").folder)
    onnx = ("warning", "ONNX") if find_spec("onnx") is None or find_spec("onnxruntime") is None else None
    assert {(finding.status, finding.name) for finding in found if finding.status != "ok"} - {onnx} == remarks


def run(*arguments):
    app = typer.Typer()
    app.command(name="check")(check)
    app.command(name="package")(package)
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("failing", ["", "a", "b", "c", "ac"])
def test_several_bundles_are_checked_and_zips_ignored(failing, monkeypatch):
    """One bundle that fails is enough, wherever it is."""
    asked = []

    def fake(folder, weights, overrides):
        asked.append((folder.name, list(overrides)))
        return iter([Finding("FAIL" if folder.name in failing else "warning", "files", tier="zoo"), Finding("ok", "x")])

    monkeypatch.setattr(planewise.packaging, "check_bundle", fake)
    checked = run("check", "dist/a", "dist/b", "dist/b.zip", "dist/c")
    assert [line for line in checked.output.splitlines() if line.startswith("dist")] == ["dist/a", "dist/b", "dist/c"]
    assert checked.exit_code == bool(failing) and checked.output.count("1 FAIL") == len(failing)
    assert run("check", "dist/a", "--", "--sigmaa", "3").exit_code == ("a" in failing)
    assert asked == [("a", []), ("b", []), ("c", []), ("a", ["--sigmaa", "3"])]
    assert "dist/a" in run("check", "dist/a", "dist/b").output and "dist/a" not in run("check", "dist/a").output


def test_commands_in_a_text():
    text = "```yaml\nmonai.bundle run: 1\n```\n```bash\nls # x\npython -m monai.bundle run --a 'b c' \\\n  --d e\n```\n"
    assert documented_runs(text) == [["--a", "b c", "--d", "e"]]
    assert (
        documented_runs(text.replace("bash", ""))
        == documented_runs(text.replace("bash", "sh"))
        == documented_runs(text)
    )
    others = "```bash\ndocker run --a 1\nplanewise check run\n```\n```python\nmonai.bundle run --b 2\n```\n"
    assert documented_runs(text + others) == documented_runs(text)
    run = "python -m monai.bundle run --a"
    text = f"```bash\ncd bundles/pretext_b\n{run} 1\ncd ../downstream_a\n{run} 2\n```\n```bash\n{run} 3\n```\n"
    assert documented_runs(text, "downstream_a") == [["--a", "2"], ["--a", "3"]]
    assert len(documented_runs(text)) == len(documented_runs(text, "renamed")) == 3


def test_overrides_are_compared_with_all_configs():
    """Without --config_file, it suffices that any config has the setting."""
    for given in (
        ["--min_order", "0.5"],
        ["--learning_rate", "0.1"],
        ["--config_file", "train.yaml", "--features", "[4]"],
    ):
        candidate = Candidate(Bundle(source(NAME)), Path(), overrides=given)
        assert checks.ours.overrides(candidate) == "each is a setting"
    for given, said in (
        (["--config_file", "train.yaml", "--min_ordr", "0.5"], "no config has --min_ordr"),
        (["--learning_rat", "0.1"], r"no config has --learning_rat \(did you mean --learning_rate\?\)"),
        (["--config_file", "trian.yaml"], "there is no configs/trian.yaml"),
    ):
        with pytest.raises(Remark, match=f"^{said}"):
            checks.ours.overrides(Candidate(Bundle(source(NAME)), Path(), overrides=given))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("package", "a", "--zoo"), "--zoo and --url go together"),
        (("package", "a", "--url", "https://x.org"), "--zoo and --url go together"),
        (("check", "a", "b", "--weights", "x"), "belong to one bundle"),
        (("check", "a.zip", "--weights", "x"), "a.zip is not a folder, so there is nothing to check; unzip it"),
        (("check", "a", "b", "--", "--sigma", "3"), "belong to one bundle"),
    ],
)
def test_options_that_do_not_go_together(arguments, said):
    refused = run(*arguments)
    assert refused.exit_code == 1 and said in refused.output


def test_where_to_upload_large_files_is_said(monkeypatch):
    made = SimpleNamespace(zip=Path(__file__), folder=Path("dist/a"), large=Path("dist/a_large"))
    monkeypatch.setattr(planewise.packaging, "package_bundle", lambda *_, **__: made)
    done = run("package", "a", "--zoo", "--url", "https://x.org/files")
    size = Path(__file__).stat().st_size / 1e6
    assert f"Wrote dist/a and {Path(__file__).name} ({size:.1f} MB).\n" in done.output
    assert "Upload to https://x.org/files: the files in dist/a_large.\n" in done.output


def test_the_commands(tmp_path):
    trained = write_run(NAME, tmp_path / "run", tiny(NAME))
    done = run("package", source(NAME), "--weights", trained, "-o", tmp_path / "dist", "--data", "phantoms")
    assert done.exit_code == 0, done.output
    assert "as trained: features [4, 8, 16]" in done.output and "tensors" in done.output and "Wrote" in done.output
    (tmp_path / "dist" / NAME / "LICENSE").unlink()
    checked = run("check", tmp_path / "dist" / NAME, "--", "--config_file", "configs/train.yaml", "--feature", "[1]")
    assert checked.exit_code == 1 and "FAIL    files: missing: LICENSE" in checked.output
    assert "no config has --feature (did you mean --features?)" in checked.output
    nothing = run("check", tmp_path)
    assert nothing.exit_code == 1 and "is not a bundle" in nothing.output
    with pytest.raises(InputError):
        list(check_bundle(tmp_path))
