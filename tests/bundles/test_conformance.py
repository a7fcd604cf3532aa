"""What the Model Zoo, MONAI's bundle tools and MONAI Label demand of every bundle."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out

from tests.bundles.conftest import BUNDLES, TRAINED, tiny
from tests.conftest import ROOT

FILES = (
    "LICENSE",
    "configs/metadata.json",
    "configs/train.yaml",
    "configs/evaluate.yaml",
    "configs/inference.yaml",
    "configs/logging.conf",
    "docs/README.md",
    "docs/data_license.txt",
)
SECTIONS = (
    "Authors", "Tags", "Model Description", "Data", "Performance", "System Configuration", "Limitations", "Citation",
)  # fmt: skip


def config(name: str, *files: str) -> dict:
    return ConfigParser.load_config_files([str(ROOT / "bundles" / name / "configs" / file) for file in files])


@pytest.mark.parametrize("name", BUNDLES)
def test_files(name):
    for file in FILES:
        assert (ROOT / "bundles" / name / file).is_file(), file
    assert not list((ROOT / "bundles" / name / "configs").glob("*.yml"))
    text = (ROOT / "bundles" / name / "docs/README.md").read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    assert [section for section in SECTIONS if section not in headings] == []


@pytest.mark.parametrize("name", BUNDLES)
def test_metadata(name):
    meta = ROOT / "bundles" / name / "configs/metadata.json"
    verify_metadata(meta_file=str(meta), filepath=str(ROOT / "tools/planewise/packaging/metadata_schema.json"))
    content = yaml.safe_load(meta.read_text())
    assert content["version"] in content["changelog"]
    assert content["eval_metrics"], "scores that nobody measured"


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("file", ["train.yaml", "inference.yaml"])
def test_network_in_and_out(name, file):
    folder = ROOT / "bundles" / name / "configs"
    for n in (1, 4):
        verify_net_in_out(
            "network_def",
            str(folder / "metadata.json"),
            str(folder / file),
            device="cpu",
            n=n,
            bundle_root=str(folder.parent),
        )


@pytest.mark.parametrize("name", BUNDLES)
def test_export_to_torchscript(name, tmp_path):
    folder = ROOT / "bundles" / name / "configs"
    parser = ConfigParser(config(name, "inference.yaml"))
    small = {"features": tiny(name)["features"]} if "features" in parser else {}
    for key, value in small.items():
        parser[key] = value
    network = parser.get_parsed_content("network_def").eval()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    ckpt_export(
        "network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(tmp_path / "model.pt"),
        meta_file=str(folder / "metadata.json"),
        config_file=str(folder / "inference.yaml"),
        **small,
    )
    shape = yaml.safe_load((folder / "metadata.json").read_text())["network_data_format"]["inputs"]["image"]
    # another size than the formulas give at n = 1, and another number of slices
    sizes = [eval(str(size), {"n": number}) for number, size in enumerate(shape["spatial_shape"], start=1)]
    image = torch.rand(2, shape["num_channels"], *sizes)
    assert torch.allclose(torch.jit.load(tmp_path / "model.ts")(image), network(image), atol=1e-6)


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize(
    ("files", "kind"),
    [(["train.yaml"], "train"), (["train.yaml", "evaluate.yaml"], "train"), (["inference.yaml"], "infer")],
)
def test_names_that_monai_looks_for(name, files, kind):
    folder = ROOT / "bundles" / name / "configs"
    workflow = ConfigWorkflow(
        [str(folder / file) for file in files], str(folder / "metadata.json"), logging_file=False, workflow_type=kind
    )
    workflow.parser.parse(True)
    missing = [
        entry["id"]
        for entry in workflow.properties.values()
        if entry["required"] and entry["id"] not in workflow.parser
    ]
    wrong = [
        key
        for key, entry in workflow.properties.items()
        if not entry["required"] and not workflow._check_optional_id(name=key, property=entry)
    ]
    assert missing == [] and wrong == []


@pytest.mark.parametrize("name", BUNDLES)
def test_each_config_stands_alone_and_has_no_path_of_ours(name):
    for file in ("train.yaml", "inference.yaml"):
        text = (ROOT / "bundles" / name / "configs" / file).read_text()
        assert "%" not in re.sub(r"#.*", "", text), "macros: MONAI Label opens one file only"
        assert "_meta_" not in text
        assert not re.search(r"/home/|/Users/|/work/", text)
    for handlers in ("train", "validate"):
        for handler in config(name, "train.yaml").get(handlers, {}).get("handlers", []):
            assert "_target_" in handler


@pytest.mark.parametrize("name", BUNDLES)
def test_a_config_opens_with_the_paper_and_its_command(name):
    for file in (ROOT / "bundles" / name / "configs").glob("*.yaml"):
        comment = file.read_text().split("\nimports:")[0]
        assert comment.startswith("# ")
        if file.name in ("train.yaml", "evaluate.yaml", "inference.yaml"):
            assert "python -m monai.bundle run" in comment and "Zhang 2024" in comment


@pytest.mark.parametrize("name", BUNDLES)
def test_the_scores_that_a_config_opens_with_are_the_documented_ones(name):
    documented = (ROOT / "bundles" / name / "docs/README.md").read_text()
    for file in ("train.yaml", "evaluate.yaml", "inference.yaml", *(["demo.yaml"] if name in TRAINED else [])):
        comment = re.match(r"(#.*\n)+", (ROOT / "bundles" / name / "configs" / file).read_text())[0]
        (score,) = re.findall(r"# Score on phantoms \((.*?)\): ((?:.*\n# (?!Lines))*.*)", comment)
        numbers = re.findall(r"\d+\.\d+", score[1])
        assert score[0].startswith("tools/demo") and numbers, file
        assert [number for number in numbers if not re.search(rf"(?<![\d.]){number}(?!\d)", documented)] == [], file


def test_the_papers_settings_are_the_defaults():
    for name in ("orientation", "location", "multitask"):
        settings = config(f"pretext_cardiac_{name}", "train.yaml")
        assert settings["features"] == [64, 128, 256, 512, 1024] and settings["stem_stride"] == 1
        assert (settings["image_size"], settings["spacing"], settings["batch_size"]) == (224, 1.26, 20)
        assert (settings["max_epochs"], settings["lr_step"], settings["lr_gamma"]) == (500, 100, 0.5)
        assert settings["learning_rate"] == 1e-3 and settings.get("sigma", 6) == 6
    settings = config("downstream_cardiac_sax_segmentation", "train.yaml")
    assert (settings["image_size"], settings["spacing"], settings["batch_size"]) == (224, 1.367, 10)
    assert (settings["max_epochs"], settings["lr_step"], settings["lr_gamma"]) == (200, 50, 0.5)
    assert settings["learning_rate"] == 1e-3 and settings["l1"] == 5e-5
    knee = {"spacing": 0.5, "image_size": 256, "features": [64, 192, 384, 256, 256], "max_epochs": 100, "batch_size": 1}
    for name in ("orientation", "location", "multitask"):
        settings = config(f"pretext_knee_{name}", "train.yaml")
        assert settings.items() >= (knee | {"learning_rate": 1e-4, "weight_decay": 5e-5, "lr_step": 50}).items()
        assert settings["lr_gamma"] == 0.1 and settings.get("sigma", 6) == 6
    settings = config("downstream_knee_injury_classification", "train.yaml")
    target = {"learning_rate": 1e-5, "weight_decay": 1e-2, "lr_factor": 0.3, "lr_patience": 5}
    assert settings.items() >= (knee | target).items()


def test_bundles_know_nothing_of_python():
    for path in (ROOT / "bundles").rglob("*.py"):
        pytest.fail(f"{Path(path).relative_to(ROOT)}: logic belongs in tools/planewise")
