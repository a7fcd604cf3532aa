"""Test the folder for the Hugging Face Hub with the hub's own parsers, and its way there and back on a loopback server."""

from __future__ import annotations

import builtins
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import planewise
import pytest
import torch
from planewise.commands import app
from planewise.errors import InputError
from planewise.workshop.packaging.hub import write_hub_folder
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.packaging.hub_server import COMMIT, hub_server

huggingface_hub = pytest.importorskip("huggingface_hub")
NAME = "pretext_cardiac_multitask"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    dist = tmp_path_factory.mktemp("dist")
    outcome = CliRunner().invoke(app, ["package", str(ROOT / "bundles" / NAME), "-o", str(dist), "--hub"])
    assert outcome.exit_code == 0, outcome.output
    return dist / "hub" / NAME


def test_the_hub_reads_the_card(folder):
    card = huggingface_hub.ModelCard.load(folder / "README.md")
    assert card.data.license == "apache-2.0" and card.data.library_name == "monai" and NAME in card.text
    metadata = json.loads((folder / "configs/metadata.json").read_text())
    scores = {score.metric_type: score.metric_value for score in card.data.eval_results}
    assert scores["location_pearson_r"] == metadata["eval_metrics"]["location_pearson_r"] and "exams" not in scores
    assert {score.dataset_name for score in card.data.eval_results} == {metadata["eval_metrics"]["measured_on"]}


def test_weights_of_others_have_the_terms_of_their_data(folder, tmp_path):
    shutil.copytree(folder, tmp_path / NAME)
    file = tmp_path / NAME / "configs/metadata.json"
    file.write_text(file.read_text().replace("planewise contributors", "somebody (code, not weights)"))
    card = huggingface_hub.ModelCard.load(write_hub_folder(tmp_path / NAME) / "README.md")
    assert card.data.license == "other" and card.data.license_link == "docs/data_license.txt"
    (tmp_path / NAME / "models/model.pt").unlink()
    with pytest.raises(InputError):
        write_hub_folder(tmp_path / NAME)


@patch.dict(sys.modules)  # another test loads the same package from another folder
def test_a_folder_gives_the_network(folder, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    loaded = planewise.load_bundle(folder)
    own = planewise.load_bundle(NAME)
    assert loaded.weights == folder / "model.safetensors"
    assert loaded.config["plane_bounds"] == own.config["plane_bounds"]
    image = torch.rand(1, 1, 64, 64)
    assert torch.equal(loaded.network(image), own.network(image))


#: In a process of its own, because the package reads the address when it is imported.
_THERE_AND_BACK = """
import sys, huggingface_hub, planewise, torch
huggingface_hub.upload_folder(folder_path=sys.argv[1], repo_id="user/hearts")
loaded = planewise.load_bundle("user/hearts", revision="main")
torch.save(loaded.network.state_dict(), sys.argv[2])
try:
    planewise.load_bundle("user/nothing", revision="main")
except planewise.errors.InputError:
    print(loaded.folder)
"""


def test_a_repository_gives_the_network(folder, tmp_path):
    files: dict[str, bytes] = {}
    with hub_server(files) as address:
        hub = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "HF_TOKEN": "hf_none", "HF_HUB_DISABLE_XET": "1"}
        done = subprocess.run(
            [sys.executable, "-c", _THERE_AND_BACK, str(folder), str(tmp_path / "weights.pt")],
            env=os.environ | hub, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} <= files.keys()
    snapshot = Path(done.stdout.splitlines()[-1])
    assert snapshot.name == COMMIT and not (snapshot / "models").exists(), "the weights are downloaded once"
    own = planewise.load_bundle(NAME).network.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in torch.load(tmp_path / "weights.pt").items())


def test_a_repository_needs_the_hubs_package(monkeypatch):
    load = builtins.__import__

    def without_hub(name, *rest):
        if name.startswith("huggingface_hub"):
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_hub)
    with pytest.raises(InputError, match="pip install huggingface_hub"):
        planewise.load_bundle("user/hearts", revision="main")
    with pytest.raises(InputError, match="revision="):  # a mistyped path names no repository
        planewise.load_bundle("user/hearts")
