"""Train, evaluate and infer with every YAML block of tools/docs/experiments.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser
from planewise.engines.checkpoints import read_checkpoint

from tests.bundles.conftest import BUNDLES, datalist_for, infer, run_bundle, tiny, tiny_size
from tests.conftest import ROOT
from tests.kinds import others_slow

PAGE = ROOT / "tools/docs/experiments.md"
# log every step, so that even a short run has its loss in the log
SHORT = {"log_interval": 1, "samples_per_epoch": 8, "max_epochs": 1, "val_interval": 1, "learning_rate": 0.001}


def blocks() -> dict[str, SimpleNamespace]:
    """Maps the file name of each block on the page to its bundle, whether it is only for inference, and its text."""
    found = {}
    for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S):
        name, inference, bundle = re.match(r"# (\w+)\.yaml, for (inference of )?(\w+)\n", text).groups()
        assert name not in found and bundle in BUNDLES
        found[name] = SimpleNamespace(bundle=bundle, inference=bool(inference), text=text, content=yaml.safe_load(text))
    return found


BLOCKS = blocks()
TRAINED = [name for name in BLOCKS if not name.startswith("hip")]


@pytest.fixture(autouse=True)
def own_code(tmp_path, monkeypatch):
    """The page's Python files, in a folder outside the repository."""
    (tmp_path / "code").mkdir()
    codes = re.findall(r"```python\n(# (own_\w+\.py).*?)```", PAGE.read_text(), re.S)
    assert len(codes) == 2
    for code, name in codes:
        (tmp_path / "code" / name).write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))


def overlay(name: str, folder: Path) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(BLOCKS[name].text)
    return str(path)


def settings_of(name: str) -> dict:
    """Settings that make a run small, except those that the block itself sets."""
    own = BLOCKS[name].content
    return {key: value for key, value in SHORT.items() if key not in own} | {
        key: own[key] for key in tiny(BLOCKS[name].bundle) if key in own
    }


def with_every_view(datalist: Path, views: list[str], folder: Path) -> Path:
    """The datalist with an additional plane for each view that the phantoms lack, placed between the first two."""
    content = json.loads(datalist.read_text())
    missing = [view for view in views if view not in content["planewise"]["views"]]
    if not missing:
        return datalist
    content["planewise"]["views"] += missing
    for item in [item for section in ("training", "validation", "test") for item in content[section]]:
        item["image"] = str(datalist.parent / item["image"])
        first, second = list(item["planes"].values())[:2]
        normal = np.add(first["normal"], second["normal"])
        between = {"origin": first["origin"], "normal": (normal / np.linalg.norm(normal)).tolist()}
        item["planes"] |= dict.fromkeys(missing, between)
    changed = folder / "every_view.json"
    changed.write_text(json.dumps(content))
    return changed


@pytest.mark.parametrize("name", others_slow(TRAINED))
def test_a_file_on_top_trains_evaluates_and_infers(name, phantoms, tmp_path):
    bundle, file, run = BLOCKS[name].bundle, overlay(name, tmp_path), tmp_path / "run"
    datalist = str(with_every_view(datalist_for(bundle, phantoms), BLOCKS[name].content.get("views", []), tmp_path))
    run_bundle(
        bundle, "train.yaml", "evaluate.yaml", file, run_id="train_and_evaluate",
        # several patients are needed: some scores, such as the probe's, compare one patient with others
        datalist=datalist, section="training", output_dir=str(run), **settings_of(name),
    )  # fmt: skip
    scores = json.loads((run / "training/metrics.json").read_text())
    views = BLOCKS[name].content.get("views")
    assert views is None or list(scores["orientation"]["views"]) == views
    weights = torch.load(run / "models/model.pt", weights_only=True)
    assert all(bool(value.isfinite().all()) for value in weights.values())
    saved = read_checkpoint(run / "models")
    for part, state in (("optimizer", saved["optimizer"]["param_groups"][0]), ("lr_scheduler", saved["lr_scheduler"])):
        wanted = [(key, value) for key, value in BLOCKS[name].content.get(part, {}).items() if key != "lr"]
        assert all(key in state or key in ("_target_", "params", "optimizer", "max_lr") for key, _ in wanted), part
        assert all(state[key] == value for key, value in wanted if key in state and not isinstance(value, str)), part
    own = BLOCKS[name].content.get("network_def")
    if own is not None:  # the weights fit the block's network and no other
        made = ConfigParser({"views": ["2ch", "4ch"], "structures": {1: "a", 2: "b", 3: "c"}, "network_def": own})
        network = made.get_parsed_content("network_def")
        assert {key: value.shape for key, value in network.state_dict().items()} == {
            key: value.shape for key, value in weights.items()
        }
    size = tiny_size(bundle) | {key: value for key, value in settings_of(name).items() if key in tiny_size(bundle)}
    # inference.yaml has no `train` and no `validate`
    of_training = any(re.search("train#|validate#", key) for key in BLOCKS[name].content)
    infer(
        bundle, datalist, run, tmp_path / "out", *([] if of_training else [file]), section="validation", num_exams=1,
        **size,
    )  # fmt: skip
    assert [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".json", ".gz")]
