"""Test training in two processes on the CPU against training in one process with batches of twice the size.

Tolerances: losses of an epoch differ by a relative 1e-4 at most (float32 sums in another order; measured 1e-7), scores by
1e-3, because a pixel between two classes and a correlation of a few slices amplify differences (measured 1e-5).
"""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import torch
from planewise.engines import read_history
from planewise.files.atomic_write import atomic_write

from tests.bundles.conftest import DECLARED, PUZZLES_OF_VOLUMES, SECTIONS, datalist_for, run_bundle, tiny
from tests.bundles.test_runs import root_cause, weights
from tests.conftest import ROOT
from tests.kinds import others_slow
from tests.processes import in_processes
from tests.quick_python import quick_python

PRETEXT = "pretext_cardiac_multitask"
PARALLEL = "multi_gpu_train.yaml"
#: Bundles whose training in two processes is compared with training in one: they cover masks, classes, permutations of
#: tiles, locations of patches, and losses that compare the samples or the patches of a batch. A bundle's
#: ``metadata.json`` declares how it is run: ``overlay``, a file on top of train.yaml; ``settings``; and ``same``, the
#: columns of its history that agree (default: both losses). Jigsaw's images get noise, because in a tile with a single
#: grey value, the gradient of instance normalisation is large and consists of rounding errors only.
TO_THE_WEIGHTS = {
    name: declared["tests"]["processes"]
    for name, declared in DECLARED.items()
    if "processes" in declared.get("tests", {})
}
#: The batches of all processes together equal one batch of a single process only in float32, and only if no sample influences
#: another.
ALIKE = {"norm": "instance", "amp": False, "device": "cpu"}


@pytest.fixture(scope="module")
def masked(phantoms) -> Path:
    """Every other slice of the unlabelled hearts, a third of them without the 4-chamber plane."""
    datalist = phantoms.cardiac.unlabelled
    content = json.loads(datalist.read_text())
    for section in SECTIONS:
        for item in content[section][::6]:
            del item["planes"]["4ch"]
        content[section] = content[section][::2]
    path = datalist.with_name("masked.json")
    with atomic_write(path) as part:  # another pytest worker may be reading it
        part.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def settings(masked, tmp_path_factory) -> dict:
    """Settings of the pretext, except the batch size and the folder."""
    return ALIKE | {
        "datalist": str(masked),
        "missing_planes": "mask",
        "cache_dir": str(tmp_path_factory.mktemp("cache")),
        "samples_per_epoch": 32,
        "val_interval": 1,
        "max_epochs": 2,
    }


def torchrun(*configs: str, **overrides) -> subprocess.Popen:
    """Start the pretext in two processes, as a user does."""
    values = tiny(PRETEXT) | overrides
    files = str([f"configs/{config}" for config in configs]).replace(" ", "")
    arguments = [part for key, value in values.items() for part in (f"--{key}", str(value))]
    return subprocess.Popen(
        [
            *(quick_python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
            *("-m", "monai.bundle", "run", "--config_file", files, *arguments),
        ],
        cwd=ROOT / "bundles" / PRETEXT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def same_curve(folder: Path, other: Path) -> None:
    """Losses and scores of every epoch."""
    rows, expected = read_history(folder / "history.csv"), read_history(other / "history.csv")
    assert len(rows) == len(expected) > 1
    for row, alone in zip(rows, expected, strict=True):
        scores = {name for name in alone if re.search("angle|distance|location_|dice|auc", name)}
        assert {"train_loss", "val_loss", "learning_rate"} <= alone.keys() - scores
        for names, tolerance in ((alone.keys() - scores, {"rel": 1e-4}), (scores, {"rel": 1e-3, "abs": 1e-3})):
            assert {name: row[name] for name in names} == pytest.approx(
                {name: alone[name] for name in names}, **tolerance
            )


@pytest.fixture(scope="module")
def alone(settings, tmp_path_factory) -> Path:
    """The pretext's folder, after one process has trained and evaluated."""
    folder = tmp_path_factory.mktemp("alone")
    run_bundle(
        *(PRETEXT, "train.yaml", "evaluate.yaml"),
        **settings | {"run_id": "train_and_evaluate", "batch_size": 8, "output_dir": str(folder)},
    )
    return folder


def test_two_processes_learn_what_one_learns_from_batches_of_twice_the_size(alone, settings, tmp_path):
    process = torchrun(
        *("train.yaml", "evaluate.yaml", PARALLEL),
        **settings | {"run_id": "train_and_evaluate", "batch_size": 4, "output_dir": str(tmp_path)},
    )
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed[-3000:]
    same_curve(tmp_path, alone)
    # weights are a weaker check, because Adam makes steps of equal size even from gradients that are pure rounding error
    assert weights(alone).keys() == weights(tmp_path).keys(), "checkpoints do not depend on the number of processes"
    # the first process evaluates alone
    found, expected = (json.loads((folder / "validation/metrics.json").read_text()) for folder in (tmp_path, alone))
    assert found["location"]["slices"] == expected["location"]["slices"]
    assert found["location"]["mae"] == pytest.approx(expected["location"]["mae"], rel=1e-4)
    # and it alone writes and prints
    assert written(tmp_path) == written(alone)
    assert printed.count("epoch 2 of ") == 1 and printed.count("training epochs") == 1
    assert "Traceback" not in printed and "Grad strides" not in printed
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["processes"] == len(record["devices"]) == 2 and record["precision"] == "float32"


def written(folder: Path) -> list[str]:
    paths = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted(re.sub(r"tfevents.*", "tfevents", path) for path in paths)


def test_a_killed_process_ends_the_run_and_the_same_command_goes_on(settings, tmp_path):
    overrides = settings | {"batch_size": 4, "max_epochs": 12, "checkpoint_interval": 0, "output_dir": str(tmp_path)}
    process = torchrun("train.yaml", PARALLEL, **overrides)
    deadline = time.time() + 200
    while time.time() < deadline and process.poll() is None and not (tmp_path / "models/last.ckpt").exists():
        time.sleep(0.02)
    (second,) = (
        one
        for one in psutil.process_iter(["cmdline", "environ"])
        if f"{tmp_path}" in (one.info["cmdline"] or ()) and (one.info["environ"] or {}).get("RANK") == "1"
    )
    second.kill()
    start = time.time()
    printed = process.communicate(timeout=100)[0]
    assert process.returncode != 0 and time.time() - start < 30
    assert "Signal 9 (SIGKILL)" in printed.split("Root Cause")[1]

    before = torch.load(tmp_path / "models/last.ckpt", weights_only=True)
    rows = read_history(tmp_path / "history.csv")[: before["epoch"]]
    # the same command continues it; one process would compute other batches
    again = torchrun("train.yaml", PARALLEL, **overrides | {"max_epochs": 13})
    assert again.communicate(timeout=200)[0].count(f"resuming after epoch {before['epoch']} of 13") == 1
    assert read_history(tmp_path / "history.csv")[: before["epoch"]] == rows
    with pytest.raises(RuntimeError) as caught:
        run_bundle(PRETEXT, "train.yaml", **overrides | {"max_epochs": 13})
    assert "processes: 2 -> 1" in str(root_cause(caught.value))


def train(rank: int, name: str, folder: str, batch_size: int, configs: list[str], overrides: dict) -> None:
    run_bundle(name, *configs, **overrides | {"batch_size": batch_size, "output_dir": folder})


@pytest.mark.parametrize("name", others_slow(TO_THE_WEIGHTS))
def test_others_too_to_the_weights(name, phantoms, tmp_path):
    """Steps of plain gradient descent, so that their size is that of the gradient; the last batch of an epoch is smaller.

    Measured: weights differ by at most 1e-5 of their total change, and by up to 1e-3 where rounding moves a voxel across a
        ReLU's kink.
    """
    declared = TO_THE_WEIGHTS[name]
    overlay = declared.get("overlay")
    configs = ["train.yaml", overlay] if overlay else ["train.yaml"]
    overrides = ALIKE | (PUZZLES_OF_VOLUMES if overlay == "3d.yaml" else {})
    overrides |= {
        "datalist": str(phantoms.volume.heads if overlay else datalist_for(name, phantoms)),
        "cache_dir": str(tmp_path / "cache"),
        "samples_per_epoch": 10,
        "max_epochs": 2,
        "val_interval": 1,
        "optimizer#_target_": "torch.optim.SGD",
        "learning_rate": 0.01,
    } | declared.get("settings", {})
    train(0, name, str(tmp_path / "alone"), 4, configs, overrides)
    train(0, name, str(tmp_path / "start"), 4, configs, overrides | {"max_epochs": 1, "learning_rate": 0.0})
    in_processes(train, name, str(tmp_path / "pair"), 2, [*configs, PARALLEL], overrides)
    rows, expected = (read_history(tmp_path / folder / "history.csv") for folder in ("pair", "alone"))
    reason = (
        "two processes do not train like one. If the method draws random numbers, draw them with "
        "planewise.augmentation.own_draws, because each process has its own part of a batch. If it does, and the loss's own "
        "test with two processes passes, the steps may amplify rounding errors: see `processes` in .github/CONTRIBUTING.md"
    )
    # in validation, SimCLR's negatives come from the process's own batch
    for key in declared.get("same", ["train_loss", "val_loss"]):
        assert [row[key] for row in rows] == pytest.approx([row[key] for row in expected], rel=1e-3), f"{key}: {reason}"
    start, pair, alone = (weights(tmp_path / folder, "last.ckpt")["network"] for folder in ("start", "pair", "alone"))
    assert start.keys() == pair.keys() == alone.keys()
    way, apart = (torch.cat([(alone[key] - other[key]).flatten() for key in alone]).norm() for other in (start, pair))
    assert way > 1e-3, "the weights have hardly moved; declare a larger learning_rate under tests: processes"
    assert apart < 2e-3 * way, f"{apart / way:.2g} of the weights' change differs: {reason}"


def teardown_module() -> None:
    # otherwise a later fork of this process would collect the process group, and wait for threads that do not exist in
    # the fork
    gc.collect()
