from __future__ import annotations

import runpy
import shlex
import sys
from importlib.util import find_spec

import pytest
import torch
from planewise.packaging.bundle import Bundle
from planewise.packaging.onnx_options import onnx_options

from tests.bundles.conftest import BUNDLES
from tests.packaging.conftest import source


@pytest.mark.parametrize("name", BUNDLES)
def test_every_readme_has_its_bundles_command(name):
    bundle = Bundle(source(name))
    block = f"```bash\n{onnx_options(bundle).command}\n```"
    assert block in bundle.readme, f"docs/README.md lacks\n{block}"


def test_a_file_is_for_images_as_inference_makes_them():
    options = onnx_options(Bundle(source("pretext_knee_multitask")))
    assert options.input_shape == [1, 1, 128, 128], "the size of the weights that ship"
    assert options.names == {"image": {0: "slices"}, "pred": {0: "slices"}}
    assert onnx_options(Bundle(source("pretext_knee_multitask")), {"image_size": 64}).input_shape == [1, 1, 64, 64]
    stacks = onnx_options(Bundle(source("downstream_knee_injury_classification")))
    assert stacks.input_shape == [1, 1, 128, 128, 24]
    assert stacks.names["image"] == {0: "stacks", 4: "slices"} and stacks.names["pred"] == {0: "stacks"}
    forest = onnx_options(Bundle(source("downstream_cardiac_disease_classification")))
    assert forest.input_shape == [1, 10] and forest.names["image"] == {0: "exams"}


@pytest.mark.skipif(not (find_spec("onnx") and find_spec("onnxruntime")), reason="needs onnx and onnxruntime")
def test_the_command_of_a_packaged_readme_makes_such_a_file(packaged, monkeypatch):
    """The command is called as by a user who has only the folder, but in this process, which saves seconds of imports."""
    from onnxruntime import InferenceSession

    folder = packaged("pretext_cardiac_location", data="phantoms").folder
    readme = (folder / "docs" / "README.md").read_text()
    command = readme[readme.index("python -m monai.bundle onnx_export") :].partition("\n```")[0]
    assert "[1,1,48,48]" in command, "the run's own size"
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["monai.bundle", *shlex.split(command.replace("\\\n", " "))[3:]])
    with Bundle(folder).importable():
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
        network = Bundle(folder).network()
    network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True))
    image = torch.rand(3, 1, 48, 48)
    (given,) = InferenceSession(folder / "models" / "model.onnx").run(["pred"], {"image": image.numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(given), network.eval()(image), rtol=1e-4, atol=1e-6)
