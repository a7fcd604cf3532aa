"""Test the Python API as tools/docs/api.md shows it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import planewise
import pytest
import torch
from planewise.commands import app
from planewise.errors import InputError
from planewise.workshop.packaging import package_bundle
from typer.testing import CliRunner

from tests.bundles.conftest import tiny
from tests.conftest import ROOT
from tests.packaging.conftest import write_run

BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", (ROOT / "tools/docs/api.md").read_text(), re.S)


@pytest.mark.slow
def test_the_pages_blocks_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for language, block in BLOCKS:
        if language == "bash":
            program, *arguments = shlex.split(block)
            assert program == "planewise" and CliRunner().invoke(app, arguments).exit_code == 0
        else:
            exec(block, names)
    assert {language for language, _ in BLOCKS} == {"bash", "python"}
    assert len(names["found"].datalist["exams"]) == 2 and Path("datalist.json").is_file()
    assert len(list(Path("plans").glob("*/index.html"))) == 2
    assert names["logits"].shape == (1, 4, names["size"], names["size"])
    assert len(list(Path("masks").rglob("*_mask.nii.gz"))) == 2
    assert {path.name for path in Path().iterdir()} >= {"exams", "plans", "masks", "datalist.json"}
    printed = capsys.readouterr().out
    assert "slices and phases of 2 exams" in printed and "index.html" in printed


def test_what_the_functions_return(tmp_path):
    """The functions use only their arguments; without an output folder, they write no file."""
    small = ["--exams", "1", "--set", "phases=2", "--set", "slices=10,6", "--set", "spacing=3.6,4.2"]
    assert CliRunner().invoke(app, ["phantom", "cardiac", str(tmp_path), *small]).exit_code == 0
    (planned,) = planewise.plan(tmp_path)
    (segmented,) = planewise.segment(str(tmp_path))
    assert planned.name == segmented.name and segmented.phases == [f"{planned.name}_phase{at}" for at in ("00", "50")]
    shape = planned.stack.image.shape
    assert planned.labels.shape == segmented.labels[0].shape == segmented.labels[1].shape == shape
    assert planned.stack.affines.shape == (shape[2], 4, 4) and {"2ch", "4ch"} <= planned.stack.acquired.keys()
    assert not planned.page.exists() and not segmented.page.exists()


def test_a_run_brings_its_weights_and_settings(tmp_path):
    folder = ROOT / "bundles/downstream_cardiac_sax_segmentation"
    shipped = planewise.load_bundle(folder)
    assert shipped.folder == folder and shipped.weights == folder / "models/model.pt" and not shipped.network.training
    for name, value in torch.load(shipped.weights, weights_only=True).items():
        assert torch.allclose(shipped.network.state_dict()[name].float(), value.float()), name
    name = "downstream_cardiac_sax_segmentation"
    trained = planewise.load_bundle(name, write_run(name, tmp_path, tiny(name) | {"image_size": 48}))
    assert trained.config["features"] == tiny(name)["features"] != shipped.config["features"]
    assert trained.config["image_size"] == 48 and trained.weights.parent.parent == tmp_path
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", sys.path[:])
        package_bundle(folder, dist=tmp_path / "dist")
        packaged = planewise.load_bundle(tmp_path / "dist" / name)
        assert type(packaged.network).__module__.startswith("planewise_")
    fresh = planewise.load_bundle("pretext_rotation")
    assert fresh.weights is None and fresh.config["bundle_root"] == str(ROOT / "bundles/pretext_rotation")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"bundle": "no_bundle"}, "there is no bundle no_bundle"),
        ({"bundle": "pretext_rotatoin"}, r"did you mean pretext_rotation\?"),
        ({"bundle": "pretext_rotation", "weights": "/nothing"}, "there are no weights in /nothing"),
    ],
)
def test_a_bundle_that_cannot_be_loaded(arguments, said):
    with pytest.raises(InputError, match=said):
        planewise.load_bundle(**arguments)


def test_the_package_alone_imports_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", "import planewise, sys; print(callable(planewise.index), 'monai' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "False"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        planewise.nothing  # noqa: B018
