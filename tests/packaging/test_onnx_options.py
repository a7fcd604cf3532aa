from __future__ import annotations

import json
import runpy
import shlex
import sys
from importlib.util import find_spec

import pytest
import torch
from planewise.workshop.packaging import package_bundle
from planewise.workshop.packaging.bundle import Bundle
from planewise.workshop.packaging.data_format import onnx_command, onnx_options

from tests.bundles.conftest import BUNDLES, tiny
from tests.packaging.conftest import source, write_run


@pytest.mark.parametrize("name", BUNDLES)
def test_every_readme_has_its_bundles_command(name):
    bundle = Bundle(source(name))
    block = f"```bash\n{onnx_command(bundle)}\n```"
    assert block in bundle.readme, f"docs/README.md lacks\n{block}"


def test_a_file_is_for_images_as_inference_makes_them():
    options = onnx_options(Bundle(source("pretext_knee_multitask")))
    assert options["input_shape"] == [1, 1, 128, 128], "the size of the weights that ship"
    assert options["converter_kwargs"]["dynamic_axes"] == {"image": {0: "slices"}, "pred": {0: "slices"}}
    stacks = onnx_options(Bundle(source("downstream_knee_injury_classification")))
    assert stacks["input_shape"] == [1, 1, 128, 128, 24]
    assert stacks["converter_kwargs"]["dynamic_axes"] == {"image": {0: "stacks", 4: "slices"}, "pred": {0: "stacks"}}
    forest = onnx_options(Bundle(source("downstream_cardiac_disease_classification")))
    assert forest["input_shape"] == [1, 10]
    assert forest["converter_kwargs"]["dynamic_axes"]["image"] == {0: "exams"}


@pytest.mark.skipif(not (find_spec("onnx") and find_spec("onnxruntime")), reason="needs onnx and onnxruntime")
@pytest.mark.parametrize(
    ("name", "overlay", "shape"),
    [
        ("pretext_cardiac_location", (), [1, 48, 48]),
        # this bundle is for volumes; on photographs, its network takes three colours
        ("pretext_rotation", ("photograph.yaml",), [3, 64, 64]),
    ],
)
def test_the_command_of_a_packaged_readme_makes_such_a_file(name, overlay, shape, tmp_path, monkeypatch):
    """The command is called as by a user who has only the folder, but in this process, which saves seconds of imports."""
    from onnxruntime import InferenceSession

    small = {
        "init_features": 8,
        "growth_rate": 4,
        "blocks": [1, 1, 1, 1],
        "image_size": shape[-1],
        "in_channels": shape[0],
    }
    run = write_run(name, tmp_path / "run", tiny(name) | (small if overlay else {}), None, *overlay)
    folder = package_bundle(source(name), run, tmp_path / "dist", data="phantoms").folder
    form = json.loads((folder / "configs/metadata.json").read_text())["network_data_format"]["inputs"]["image"]
    kind = ("RGB", "fundus photograph", "red") if overlay else ("magnitude", "MR", "image")
    assert (form["format"], form["modality"], form["channel_def"]["0"]) == kind
    readme = (folder / "docs" / "README.md").read_text()
    command = readme[readme.index("python -m monai.bundle onnx_export") :].partition("\n```")[0]
    assert str([1, *shape]).replace(" ", "") in command, "the run's own size"
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["monai.bundle", *shlex.split(command.replace("\\\n", " "))[3:]])
    with Bundle(folder).importable():
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
        network = Bundle(folder).network()
    network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True))
    image = torch.rand(2, *shape)
    (given,) = InferenceSession(folder / "models" / "model.onnx").run(["pred"], {"image": image.numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(given), network.eval()(image), rtol=1e-4, atol=1e-6)
