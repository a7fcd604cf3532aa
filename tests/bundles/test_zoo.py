"""Test each bundle with MONAI's verifiers, as the Model Zoo's CI does, and with its exports."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, onnx_export, verify_net_in_out
from planewise.workshop.packaging.bundle import Bundle, without_noise
from planewise.workshop.packaging.configs import with_values
from planewise.workshop.packaging.data_format import onnx_options, sides

from tests.bundles.conftest import BUNDLES, PHOTOGRAPHS, VOLUMES
from tests.conftest import ROOT
from tests.kinds import PRETEXT_AND_TASK, others_slow

FILES = (
    "LICENSE", "configs/train.yaml", "configs/evaluate.yaml", "configs/inference.yaml", "configs/logging.conf",
    "docs/README.md", "docs/data_license.txt",
)  # fmt: skip
SECTIONS = {
    "Authors",
    "Tags",
    "Model Description",
    "Data",
    "Performance",
    "System Configuration",
    "Limitations",
    "Citation",
}
SAME = 1e-4


def thin(name: str, folder: Path) -> Bundle:
    """A copy of a bundle without weights, with a network of the same depth and fewer features, and smaller volumes."""
    left_out = shutil.ignore_patterns("models", "eval", "runs", "logs")
    copy = shutil.copytree(ROOT / "bundles" / name, folder / name, ignore=left_out)
    for file in ("train.yaml", "inference.yaml"):
        path = copy / "configs" / file
        features = Bundle(copy).config(file).get("features", [])
        small = {"features": [4] * len(features)} if features else {}
        small |= {"image_size": 48} if name in VOLUMES else {}
        small |= {"init_features": 16, "growth_rate": 8} if name in PHOTOGRAPHS else {}
        path.write_text(with_values(path.read_text(), small))
    metadata = json.loads((copy / "configs/metadata.json").read_text())
    output = metadata["network_data_format"]["outputs"]["pred"]
    if features and output["num_channels"] == features[-1]:  # an embedding
        output["num_channels"] = 4
        (copy / "configs/metadata.json").write_text(json.dumps(metadata))
    return Bundle(copy)


@pytest.mark.parametrize("name", BUNDLES)
def test_every_file_and_section_that_the_zoo_asks_for_is_there(name):
    folder = ROOT / "bundles" / name
    assert [file for file in FILES if not (folder / file).is_file()] == []
    assert not list(folder.glob("configs/*.yml")), "MONAI Label opens only .yaml"
    assert not [file for file in folder.glob("configs/*.yaml") if file.with_suffix(".json").exists()]
    assert set(re.findall(r"^#+ (.*)$", Bundle(folder).readme, re.M)) >= SECTIONS
    multi = (folder / "configs/multi_gpu_train.yaml").is_file()
    assert multi or name == "downstream_cardiac_disease_classification", "only the forest trains in one process"


@pytest.mark.parametrize("name", others_slow(BUNDLES))
def test_monais_verifiers_accept_metadata_and_networks(name, tmp_path):
    bundle = thin(name, tmp_path)
    bundle.verify()
    with without_noise():
        for size in (1, 3):
            root = str(bundle.folder)
            file = bundle.config_file("train.yaml")
            verify_net_in_out("network_def", bundle.metadata_file, file, device="cpu", n=size, bundle_root=root)


@pytest.mark.parametrize("name", BUNDLES)
def test_configs_have_the_names_that_monai_looks_for(name):
    """These are the assertions of the zoo's unit test of a bundle; the overlays keep the names."""
    bundle = Bundle(ROOT / "bundles" / name)
    networks = [file for file in bundle.texts if re.search(r"^network_def", bundle.texts[file], re.M)]
    overlays = [
        file for file in ("evaluate.yaml", "multi_gpu_train.yaml", "demo.yaml", *networks) if file in bundle.texts
    ]
    pairs = [(["train.yaml", *more], "train") for more in [[], *([file] for file in overlays if file != "train.yaml")]]
    for files, kind in [*pairs, (["inference.yaml"], "infer")]:
        if "inference.yaml" in files[1:]:
            continue
        with without_noise():
            paths = [bundle.config_file(file) for file in files]
            workflow = ConfigWorkflow(paths, bundle.metadata_file, logging_file=False, workflow_type=kind)
            workflow.parser.parse(True)  # as initialize does, without building anything
        for key, entry in workflow.properties.items():
            if entry["required"]:
                assert entry["id"] in workflow.parser, (files, key)
            else:
                assert workflow._check_optional_id(name=key, property=entry), (files, key)


def exports_are_the_same(bundle: Bundle, folder: Path) -> bool:
    """Whether TorchScript and ONNX, exported as documented, give the network's output for one image and for several, also at
    other numbers of slices."""
    folder.mkdir()
    with bundle.importable(), without_noise():
        network = bundle.network().eval()
        if bundle.weights.is_file():
            network.load_state_dict(torch.load(bundle.weights, weights_only=True))
        torch.save(network.state_dict(), folder / "model.pt")
        given = {
            "ckpt_file": str(folder / "model.pt"), "meta_file": bundle.metadata_file,
            "config_file": bundle.config_file("inference.yaml"), "bundle_root": str(bundle.folder),
        }  # fmt: skip
        ckpt_export("network_def", filepath=str(folder / "model.ts"), **given)
        options = onnx_options(bundle)
        onnx_export("network_def", str(folder / "model.onnx"), use_trace=True, **options, **given)
    image = bundle.metadata["network_data_format"]["inputs"]["image"]
    # sides that differ, such as 32 x 48
    uneven = [sides([formula], n)[0] for n, formula in enumerate(image["spatial_shape"], start=2)]
    script, errors = torch.jit.load(folder / "model.ts"), []
    with torch.no_grad():
        example = torch.rand(2, image["num_channels"], *uneven)
        errors.append((script(example) - network(example)).abs().max())
        shapes = [options["input_shape"], [2, *options["input_shape"][1:]]]
        if 4 in options["converter_kwargs"]["dynamic_axes"]["image"]:
            shapes += [[*shape[:4], shape[4] // 2 + 1] for shape in shapes]
        from onnxruntime import InferenceSession

        session = InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
        for shape in shapes:
            example = torch.rand(shape)
            expected = network(example)
            (found,) = session.run(["pred"], {"image": example.numpy()})
            errors.append((torch.from_numpy(found) - expected).abs().max() / expected.abs().max())
    return max(errors) < SAME


@pytest.mark.skipif(not (find_spec("onnx") and find_spec("onnxruntime")), reason="needs onnx and onnxruntime")
@pytest.mark.parametrize("name", others_slow(BUNDLES, PRETEXT_AND_TASK))
def test_exports_give_the_networks_output(name, tmp_path):
    assert exports_are_the_same(thin(name, tmp_path), tmp_path / "exports")


def parsed(bundle: Bundle, file: str, **settings) -> ConfigParser:
    return ConfigParser(bundle.config(file) | {"device": "cpu", "bundle_root": str(bundle.folder)} | settings)
