"""Test that a short run of every released bundle gives the numbers that it gave before."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from planewise.engines import RunHandler, read_history

from tests.bundles.conftest import RELEASED, TRAINED, datalist_for, infer, tiny, train_and_evaluate
from tests.conftest import ROOT

#: Settings of the runs, in place of the config's own values. The rate changes after the epoch. Results in float32
#: differ less from processor to processor than results in bfloat16.
SHORT = {
    "amp": False,
    "seed": 3,
    "samples_per_epoch": 16,
    "val_interval": 1,
    "lr_step": 1,
    "progress": False,
    "max_epochs": 1,
}
#: Relative tolerances of everything after the training, by the beginning of a number's place. They are larger than the
#: differences between processors (AVX2, AVX-512, AMX). A network that has hardly learned places lines and planes at random,
#: and nearly the same location or feature everywhere, so their errors, correlations and ranks are not compared.
LOOSE = {
    "scores/orientation/views": math.inf,
    r"history/\d+/\w+_(angle|distance|r2?$)": math.inf,
    "inference/plan.json/views": math.inf,
    r"scores/retrieval/top\d": math.inf,
    "scores/slice_order/rank_correlation": math.inf,
    "scores/retrieval": 0.1,
    "scores/location": 0.1,
    "inference": 0.05,
    "scores": 5e-3,
    "history": 5e-3,
}
STORED = [name for name in TRAINED if name in RELEASED]


def read(name: str, file: str = "train.yaml") -> ConfigParser:
    return ConfigParser(ConfigParser.load_config_file(str(ROOT / "bundles" / name / "configs" / file)))


@pytest.fixture
def first_step(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the trainer of a run gives to its network and gets from it in the first step."""
    found: dict[str, Any] = {}
    attach = RunHandler.attach

    def attach_and_keep(self: RunHandler, engine: Engine) -> None:
        attach(self, engine)
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=1), lambda engine: keep(engine.state.output))

    def keep(output: Any) -> None:
        for key in ("image", "label", "pred"):
            found.update(arrays(output[key], key))

    monkeypatch.setattr(RunHandler, "attach", attach_and_keep)
    return found


def arrays(content: Any, place: str) -> dict[str, np.ndarray]:
    """Every tensor in nested dictionaries and lists."""
    if isinstance(content, torch.Tensor):
        return {place: content.detach().float().cpu().numpy()}
    parts = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content if isinstance(content, list | tuple) else [])
    )
    return {name: found for key, part in parts for name, found in arrays(part, f"{place} {key}").items()}


def written(folder: Path) -> dict[str, Any]:
    """The numbers in the files of an inference."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".json":
            found[path.name] = json.loads(path.read_text())
        elif path.suffix == ".npy":
            found[path.name] = np.load(path)
        elif path.name.endswith(".nii.gz"):
            image = nibabel.load(path)
            found[path.name] = {"affine": image.affine, "data": np.asarray(image.dataobj)}
    return found


@pytest.mark.parametrize("name", STORED)
def test_a_run_gives_the_numbers_that_are_stored(name, phantoms, first_step, assert_numbers, tmp_path):
    datalist, parser = str(datalist_for(name, phantoms)), read(name)
    settings = {key: value for key, value in (tiny(name) | SHORT).items() if key in parser}
    train_and_evaluate(name, datalist, tmp_path / "run", **settings)
    (scores,) = (tmp_path / "run").glob("*/metrics.json")
    infer(name, datalist, tmp_path / "run", tmp_path / "out", num_exams=1)
    found = {
        # the config's own values of the settings that these runs change
        "config": {key: parser[key] for key in settings},
        "first step": first_step,
        "history": dict(enumerate(read_history(tmp_path / "run/history.csv"), 1)),
        "scores": json.loads(scores.read_text()),
        "inference": written(tmp_path / "out"),
    }
    assert_numbers("bundles", name, found, loose=LOOSE)


def test_every_stored_case_is_compared():
    assert list(json.loads((ROOT / "tests/expected/numbers/bundles.json").read_text())) == sorted(STORED)
